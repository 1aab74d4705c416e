# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module says about itself: check mode, diff mode, idempotence, action group, platform."""

from __future__ import annotations


class ModuleDocFragment:
    """Attribute descriptions, written once; each module states its support and merges them by name."""

    # Use as: extends_documentation_fragment: [hosted.kubernetes.attributes, hosted.kubernetes.attributes.api]
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changes a real run would make, without making them.
  diff_mode:
    description:
      - Returns what would change or has changed when run with C(--diff); secrets are redacted.
      - Where a module returns a plan, objects that it makes have one line each, but resources of this collection's API all fields. All fields
        of the others are in the returned plan, which C(-v) shows.
  idempotent:
    description: A second run with the same options and no outside change makes no change and says so.
"""

    # A module that talks to cluster APIs from where it runs.
    API = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/hosted.kubernetes.kubernetes) in C(module_defaults) to set options for all modules of this collection.
    support: full
    membership:
      - hosted.kubernetes.kubernetes
  platform:
    description: Target operating systems; the module talks to APIs over the network from the host it runs on.
    platforms: posix
    support: full
"""

    # A module that reads or changes the host it runs on.
    HOST = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/hosted.kubernetes.kubernetes) in C(module_defaults) to set options for all modules of this collection.
    support: full
    membership:
      - hosted.kubernetes.kubernetes
  platform:
    description: Target operating systems; the module reads or changes the host it runs on.
    platforms: linux
    support: full
"""

    # Merged by modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module only reads.
  diff_mode:
    support: N/A
    details:
      - This module only reads.
  idempotent:
    support: full
    details:
      - This module only reads.
"""
