# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that say how to reach the management cluster; one set of names for every module."""

from __future__ import annotations


class ModuleDocFragment:
    """Connection options of the management cluster. Tenant clusters have no such options: the engine finds its way itself."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file for the management cluster.
      - Excludes O(host), O(api_key), O(ca_cert), O(client_cert), O(client_key), O(proxy) and O(tls_server_name), which a kubeconfig carries itself.
      - When this or O(host) is given, no environment variable is read for this task, so that the credential of one cluster never
        leaks into a call to another one.
      - When neither is given, the environment variable E(K8S_AUTH_KUBECONFIG) is read. There is no silent fall back to
        C(~/.kube/config) or to the service account of a pod.
      - An empty string means unset.
    type: path
  context:
    description:
      - Context of the kubeconfig to use; its current context by default.
      - Read from E(K8S_AUTH_CONTEXT) when the kubeconfig comes from the environment as well.
    type: str
  host:
    description:
      - URL of the management cluster's API server, such as V(https://198.51.100.10:6443). Only C(https) is accepted.
      - Excludes O(kubeconfig).
      - When neither this nor O(kubeconfig) is given, E(K8S_AUTH_HOST) is read; both E(K8S_AUTH_HOST) and E(K8S_AUTH_KUBECONFIG) set is refused.
    type: str
  api_key:
    description:
      - Bearer token used with O(host).
      - Read from E(K8S_AUTH_API_KEY) when the host comes from the environment as well.
    type: str
  ca_cert:
    description:
      - Path of the PEM file with the certificate authorities that may sign the API server's certificate, used with O(host).
        The authorities of the operating system by default.
      - The server's certificate is always verified. There is no option to switch this off, and E(K8S_AUTH_VERIFY_SSL) is not read.
      - Read from E(K8S_AUTH_SSL_CA_CERT) when the host comes from the environment as well.
    type: path
  client_cert:
    description:
      - Path of a PEM client certificate used with O(host) and O(client_key) instead of O(api_key).
      - Read from E(K8S_AUTH_CERT_FILE) when the host comes from the environment as well.
    type: path
  client_key:
    description:
      - Path of the PEM private key of O(client_cert).
      - Read from E(K8S_AUTH_KEY_FILE) when the host comes from the environment as well.
    type: path
  proxy:
    description:
      - URL of an HTTP proxy used with O(host).
      - Read from E(K8S_AUTH_PROXY) when the host comes from the environment as well.
    type: str
  tls_server_name:
    description:
      - Name that the API server's certificate must carry when it differs from the name in O(host).
      - Read from E(K8S_AUTH_TLS_SERVER_NAME) when the host comes from the environment as well.
    type: str
requirements:
  - kubernetes >= 36.0.0
notes:
  - The environment variables are those of the Kubernetes credential of AWX and of kubernetes.core, so that a job template works without options.
"""
