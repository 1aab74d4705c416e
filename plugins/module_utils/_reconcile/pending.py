# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller that never waits is told instead: what is missing. It comes by itself, and then the next step can be made."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError


class Pending(HostedKubernetesError):
    """Nothing more can be done now; the message says what for. To a caller that has waited in vain it is an error as any other."""


class TurnPending(Pending):
    """It is the turn of others."""
