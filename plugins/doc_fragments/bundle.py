# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the modules of the bundle role share."""

from __future__ import annotations


class ModuleDocFragment:
    """What a bundle is made of and where its parts are kept."""

    DOCUMENTATION = r"""
options:
  spec:
    description:
      - What the bundle consists of. The role P(hosted.kubernetes.bundle#role) fills it from its variables, which carry the explanations.
    type: dict
    required: true
    suboptions:
      kubernetes:
        description: Kubernetes version, such as V(v1.36.3).
        type: str
        required: true
      arch:
        description: Architecture as Go names it.
        type: str
        required: true
      versions:
        description:
          - Versions of what kubeadm does not name, with the keys C(containerd), C(runc), C(cni_plugins), C(cri_tools), C(konnectivity),
            C(kine), C(flannel), C(flannel_cni_plugin), C(metallb) and C(agnhost).
        type: dict
        required: true
      urls:
        description: Base URLs of download sites, with the keys C(kubernetes) and C(github).
        type: dict
        required: true
      registries:
        description: Base URLs of image registries by the name that stands in references, such as C(registry.k8s.io).
        type: dict
        default: {}
      mains:
        description: Text of C(main.go) by component, for those that have one of their own.
        type: dict
        default: {}
  cache_dir:
    description: Directory for made parts, checksums and logs.
    type: path
    required: true
"""
