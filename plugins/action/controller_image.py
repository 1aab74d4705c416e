# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller half of controller_image: shows the steps while the image is made on the controller."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.plugin_utils.followed import FollowedModule


class ActionModule(FollowedModule):
    """Runs the module and shows its steps."""

    module = "hosted.kubernetes.controller_image"
