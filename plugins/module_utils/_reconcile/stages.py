# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a tenant's changes. Changes of one stage are independent; gaps leave room for parts that rest on each other."""

from __future__ import annotations

from enum import IntEnum


class Stage(IntEnum):
    """Stages of making a tenant."""

    NAMESPACE = 0
    RESOURCE = 10
    FOUNDATION = 20  # authorities, Service, policies; datastore parts follow at FOUNDATION + n
    LEAVES = 30
    PASSWORDS = 31  # datastore parts of a user that is known by the password in a leaf; further ones follow at PASSWORDS + n
    ADDRESSED = 40  # what holds the published address
    CHAINED_LEAVES = 41  # kubeconfigs built on a certificate Secret
    TAKE_OVER = 45  # inside a tenant that another system made: our guard first, then away with the one whose keeper is gone
    DEPLOYMENT = 50
    SCALE = 55  # the number that the resource shows
    TENANT = 60
    REWRITE = 65  # what is stored with an older key
    PRUNE = 70


class DeletionStage(IntEnum):
    """Stages of deleting a tenant: first nobody writes any more, then the data goes, the record of it goes last."""

    MARK = 0
    WORKLOAD = 10
    DATA = 20  # parts of the datastore share follow at DATA + n
    OBJECTS = 50
    RESOURCE = 60


class GeneratorStage(IntEnum):
    """Stages of keeping a KubeconfigGenerator's Secrets, or of deleting it: it holds its finalizer as long as one of them is there."""

    RESOURCE = 0
    SECRETS = 10
    RELEASE = 20


class LimitStage(IntEnum):
    """Stages of limiting a tenant's writing, or of lifting the limit: what is limited is always recorded."""

    RECORD = 0
    POLICY = 10
    RECORD_LIFTED = 20
