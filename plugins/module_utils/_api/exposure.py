# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What helps when an address that a load balancer gave out does not answer."""

from __future__ import annotations


def load_balancer_step(tenant: str) -> str:
    """Return what to run in the management cluster about the load balancer's part in it.

    tenant: namespace/name, as its Service is called too, or whatever else messages call a tenant whose Service is not known.
    """
    namespace, _slash, name = tenant.partition("/")
    where = f"-n {namespace} describe service {name}" if name and " " not in tenant else "describe services -A"
    return (
        f"'kubectl {where}' says which node announces the address, and with MetalLB 'kubectl -n metallb-system rollout restart "
        "daemonset/speaker' has it announced anew"
    )
