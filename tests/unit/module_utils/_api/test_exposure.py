# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.exposure import load_balancer_step


@pytest.mark.parametrize(
    ("tenant", "command"),
    [
        ("tenants/acme", "kubectl -n tenants describe service acme"),
        ("of /root/acme.kubeconfig", "kubectl describe services -A"),
        ("acme", "kubectl describe services -A"),
    ],
)
def test_the_commands_name_the_service_where_it_is_known(tenant: str, command: str) -> None:
    step = load_balancer_step(tenant)
    assert step.startswith(f"'{command}' ")
    assert "'kubectl -n metallb-system rollout restart daemonset/speaker'" in step
