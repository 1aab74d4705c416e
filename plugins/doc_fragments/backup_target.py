# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that say where backups are (DOCUMENTATION), and with which key they are encrypted (KEY)."""

from __future__ import annotations


class ModuleDocFragment:
    """A place for backups and the key to them."""

    DOCUMENTATION = r"""
options:
  directory:
    description:
      - Directory with the backups, on the host where this module runs (the controller, as a rule). Files are called after what is backed up
        and the time in UTC, and can be moved and copied by anything.
      - Exactly one of O(directory) and O(s3) must be given.
    type: path
  s3:
    description:
      - Bucket of S3-compatible storage with the backups. Objects are called as files in O(directory) are.
      - Connections are made from the host where this module runs, and the certificate of the server is always verified.
      - For its options, an empty string means unset.
    type: dict
    suboptions:
      bucket:
        description: Name of the bucket, which must exist.
        type: str
        required: true
      endpoint:
        description:
          - URL of the server, such as V(https://s3.example.com:9000). AWS when it is left out, whatever the environment says.
          - With V(http://) everything goes over the network in plain text, and nothing proves that the server is the right one. That is refused
            unless backups are encrypted with a key.
        type: str
      prefix:
        description: Folder in the bucket, such as V(backups/tenants); without it, the backups are at the top.
        type: str
      region:
        description: Region of the bucket. As E(AWS_DEFAULT_REGION) or the profile says when it is left out, else V(us-east-1).
        type: str
      access_key:
        description:
          - Access key. It belongs together with O(s3.secret_key).
          - Without both, those of the environment are used (E(AWS_ACCESS_KEY_ID), E(AWS_SECRET_ACCESS_KEY), E(AWS_SESSION_TOKEN), E(AWS_PROFILE), the
            role of the machine), in the order of boto3.
        type: str
      secret_key:
        description: Secret key.
        type: str
      ca_file:
        description:
          - File with the authorities (PEM) that sign the certificate of the server. E(AWS_CA_BUNDLE), or those that boto3 brings, when it is left out.
        type: path
requirements:
  - boto3 >= 1.36.0 with O(s3)
"""

    KEY = r"""
options:
  encryption_key_file:
    description:
      - File with the key that encrypts backups, 32 random bytes in base64, as C(openssl rand -base64 32) makes; nobody but its owner may be
        able to read it. Keep a copy of it elsewhere, but not beside the backups. Without it a backup cannot be read by anybody.
      - A backup that is not encrypted is not restored with it.
      - An empty string means unset.
    type: path
requirements:
  - backports-zstd >= 1.0.0 on Python older than 3.14
"""
