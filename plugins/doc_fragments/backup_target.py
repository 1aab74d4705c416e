# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that say where backups of tenants are, and with which key they are encrypted."""

from __future__ import annotations


class ModuleDocFragment:
    """A place for backups and the key to them."""

    DOCUMENTATION = r"""
options:
  directory:
    description:
      - Directory with the backups, on the host where this module runs (the controller, as a rule). Files are called
        C(<namespace>_<name>_<time in UTC>.hkbackup) and can be moved and copied by anything.
    type: path
    required: true
  encryption_key_file:
    description:
      - File with the key that encrypts backups, 32 random bytes in base64, as C(openssl rand -base64 32) makes; nobody but its owner may be
        able to read it. Keep a copy of it elsewhere, but not beside the backups. Without it a backup cannot be read by anybody.
      - An empty string means unset.
    type: path
requirements:
  - backports-zstd >= 1.0.0 on Python older than 3.14
"""
