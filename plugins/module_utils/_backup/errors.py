# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a backup, or with the place where it is kept: which file, why, what to do."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError


class BackupError(HostedKubernetesError):
    """A backup cannot be written, found or removed."""


class DamagedError(BackupError):
    """A file is no backup, ends too early, or is not what was written. Nothing of it may be used."""


class EncryptionKeyError(BackupError):
    """A backup is encrypted and the key is missing, is another one, or is no key."""
