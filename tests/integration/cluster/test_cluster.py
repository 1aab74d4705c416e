# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the other tests of this layer build on."""

from __future__ import annotations

import re

from ansible_collections.hosted.kubernetes.tests.support.cluster import PLAYBOOKS, Cluster


def test_a_second_run_of_what_makes_the_cluster_changes_nothing(cluster: Cluster) -> None:
    for name in PLAYBOOKS:
        output = cluster.playbook(name)
        assert set(re.findall(r"changed=(\d+)", output)) == {"0"}, output
