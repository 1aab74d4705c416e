# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process that is to be killed calls about data budgets."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.client import Client
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.budgets import Scope, keep_budgets
from ansible_collections.hosted.kubernetes.plugins.module_utils._reconcile.call import Settings


def run_budgets(client: Client, store: str, settings: Settings) -> Json:
    return keep_budgets(client, settings, Scope(store))
