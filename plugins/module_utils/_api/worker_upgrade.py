# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one decision about a worker and a bundle: upgrade it, go on with an upgrade, leave it alone, or refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api import join
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import kubelet_problem, parse_version


class UpgradeAction(StrEnum):
    """RESUME: an earlier run began and did not end; its snapshot is there."""

    UPGRADE = "upgrade"
    RESUME = "resume"
    NONE = "none"


@dataclass(frozen=True)
class UpgradePlan:
    """before: version to go back to, after: version to be. cordoned: the node took no pods before, and takes none afterwards."""

    action: UpgradeAction
    reason: str
    before: str
    after: str
    cordoned: bool = False


@dataclass(frozen=True)
class HostUpgrade:
    """What was read for the decision.

    facts: what module host_info returned. snapshot: what the upgrade's snapshot remembers, None when there is none.
    pending: files that differ from those of the bundle. cordoned: whether the node takes no pods now.
    """

    facts: Mapping[str, Any]
    snapshot: Mapping[str, Any] | None
    pending: Sequence[str]
    cordoned: bool


def plan_upgrade(host: str, seen: HostUpgrade, target: join.JoinTarget, wanted: join.JoinRequirements, *, now_s: int) -> UpgradePlan:
    """Decide what must happen to one worker so that it runs what the bundle has.

    host: inventory name, for messages. now_s: controller's clock, seconds since the epoch.
    Raises InvalidError with all that is in the way, when something is; nothing has been changed then.
    """
    problems = [*join.basic_problems(seen.facts, wanted), *join.foreign_problems(seen.facts["membership"], target)]
    problems += _version_problems(seen, target, wanted)
    if not problems:
        problems = _membership_problems(seen.facts["membership"], target, now_s)
    if not problems and seen.snapshot is None and seen.pending:
        problems = _room_problems(seen.facts, wanted)
    if problems:
        raise InvalidError.from_problems(f"host {host}", problems)
    return _decide(seen, wanted)


def _decide(seen: HostUpgrade, wanted: join.JoinRequirements) -> UpgradePlan:
    installed, after = str(seen.facts["membership"]["kubelet_version"]), wanted.bundle_version
    if seen.snapshot is not None:
        before = str(seen.snapshot.get("version") or installed)
        reason = f"an upgrade from {before} was begun and not ended"
        return UpgradePlan(UpgradeAction.RESUME, reason, before, after, bool(seen.snapshot.get("cordoned")))
    if not seen.pending:
        return UpgradePlan(UpgradeAction.NONE, f"it runs all of the bundle of {after}", installed, after, seen.cordoned)
    what = f"kubelet {installed} becomes {after}" if installed != after else f"files of the bundle of {after} differ"
    return UpgradePlan(UpgradeAction.UPGRADE, what, installed, after, seen.cordoned)


def _version_problems(seen: HostUpgrade, target: join.JoinTarget, wanted: join.JoinRequirements) -> list[str]:
    installed = seen.facts["membership"]["kubelet_version"]
    skew = kubelet_problem(target.version, wanted.bundle_version)
    problems = [f"bundle of {wanted.bundle_version}, tenant of {target.version}: {skew}"] if skew else []
    before = str((seen.snapshot or {}).get("version") or installed or wanted.bundle_version)
    older, newer = parse_version(before), parse_version(wanted.bundle_version)
    if (newer.major, newer.minor) < (older.major, older.minor):
        problems.append(
            f"kubelet {before} is of a newer minor than the bundle ({wanted.bundle_version}), and what it wrote an older one need not understand; "
            f"set worker_bundle_dir to a bundle of {older.minor_text} or newer, or take the host out (playbook worker_reset) and join it again"
        )
    return problems


def _membership_problems(membership: Mapping[str, Any], target: join.JoinTarget, now_s: int) -> list[str]:
    plan = join.decide(membership, target, now_s=now_s)
    if plan.action is join.JoinAction.NONE:
        return []
    if plan.action is join.JoinAction.JOIN:
        return [f"{plan.reason}; join it first (playbook worker)"]
    return [f"{plan.reason}; mend it first (playbook worker_refresh for a certificate that has expired, otherwise worker)"]


def _room_problems(facts: Mapping[str, Any], wanted: join.JoinRequirements) -> list[str]:
    return [
        f"{path}: {free} MiB free, {wanted.minimum_free_mb} MiB are needed for the new files and a copy of the old ones; free some, or set "
        "worker_upgrade_minimum_free_mb"
        for path, free in sorted(facts["free_mb"].items())
        if free < wanted.minimum_free_mb
    ]
