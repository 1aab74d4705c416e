# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that say which tenant cluster a module works in; together with the fragment management_cluster."""

from __future__ import annotations


class ModuleDocFragment:
    """A tenant by name in its management cluster, or by a kubeconfig of its own."""

    DOCUMENTATION = r"""
options:
  tenant:
    description:
      - Name of the TenantControlPlane in the management cluster. The tenant is reached through its published endpoint, or by
        port-forward through the management cluster when that does not answer from here.
      - Needed unless O(tenant_kubeconfig) is given.
    type: str
  namespace:
    description:
      - Namespace of the TenantControlPlane.
      - As for C(kubectl), V(default) unless given. The roles and playbooks of this collection have their tenants in V(tenants), or where
        C(tenant_control_plane_namespace) says.
    type: str
    default: default
  tenant_kubeconfig:
    description:
      - Path of a kubeconfig of the tenant cluster. The management cluster is not used then.
      - It must carry its certificates and keys inline, and name no program. No environment variable is read.
      - An empty string means unset.
    type: path
"""
