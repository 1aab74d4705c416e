# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building a component's binaries from Go modules. The checksum database (or the kept go.sum) guards what is downloaded."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import HostedKubernetesError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.gomod import (
    UpstreamModule,
    go_key,
    newest_go,
    parse_go_mod,
    render_go_mod,
    staging_version,
)
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.progress import ProgressLog, duration_text
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.bundle.recipes import Component, GoBuild

_PACKAGE_LINE = re.compile(r"^[a-z0-9][\w./~-]*$", re.IGNORECASE)
_SECURITY = "SECURITY ERROR"
_PT_INTERP = 3


@dataclass(frozen=True)
class GoJob:
    """One build. work: an empty folder; out: where the outputs go; sums: the go.sum kept from the first build of this version.

    main: text of the component's own main.go. check_sum(module@version, h1 sum) raises when the sum is not the recorded one.
    """

    component: Component
    arch: str
    work: str
    out: str
    sums: str
    main: str
    check_sum: Callable[[str, str], None]


def build(job: GoJob, log: ProgressLog) -> dict[str, str]:
    """Build all outputs of a component.

    Returns the source text of each output: module, version and module checksum.
    Raises HostedKubernetesError that holds the end of Go's output.
    """
    recipe = _recipe(job.component)
    go = _Go(job, log)
    log.step(f"{job.component.name} {job.component.version}: fetch Go modules")
    modules = [go.download(path, version) for path, version in recipe.modules]
    upstream = _upstream(modules, go)
    replaces: list[tuple[str, str]] = []
    if recipe.staging:
        replaces = [(module, f"{module} {staging_version(recipe.modules[0][1])}") for module in upstream.staging]
    if recipe.without_imports and not recipe.upstream_main:
        replaces.append((recipe.modules[0][0], _trimmed_copy(job, recipe, modules[0]["Dir"])))
    _write(os.path.join(job.work, "go.mod"), render_go_mod(job.component.name, upstream, recipe.modules, replaces))
    _write_main(job, recipe, modules)
    if os.path.exists(job.sums):
        shutil.copyfile(job.sums, os.path.join(job.work, "go.sum"))
    total = len(go.run(["list", "-deps", *(package for package, _output in recipe.packages)], count=False))
    sources = {}
    for package, output in recipe.packages:
        go.build(package, output, _flags(recipe), total)
        sources[output] = _source(package, modules)
    _keep_sums(job)
    return sources


def require_static(path: str) -> None:
    """Raise HostedKubernetesError when an ELF file asks for a dynamic loader (it would depend on the host's libraries)."""
    with open(path, "rb") as stream:
        header = stream.read(64)
        if header[:4] != b"\x7fELF" or header[4] != 2:
            raise HostedKubernetesError(f"{path}: not a 64-bit ELF binary; the build made something else than a program")
        offset, size, count = struct.unpack("<Q", header[32:40])[0], *struct.unpack("<HH", header[54:58])
        stream.seek(offset)
        table = stream.read(size * count)
    if any(struct.unpack_from("<I", table, index * size)[0] == _PT_INTERP for index in range(count)):
        raise HostedKubernetesError(f"{path}: dynamically linked; build it with CGO_ENABLED=0")


# The compiler's own: a tenth of its time is saved by collecting less often, as long as it stays small.
_GARBAGE_COLLECTION = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}


def go_environment(arch: str, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every go call: the user's proxy and cache settings stay, what changes the output is fixed."""
    environment = {name: value for name, value in base.items() if name not in ("GOFLAGS", "GOOS", "GOARCH", "GOWORK", "GOEXPERIMENT")}
    environment.update(CGO_ENABLED="0", GOFLAGS="-mod=mod -buildvcs=false", GOOS="linux", GOARCH=arch, GOWORK="off", LC_ALL="C")
    return {**_GARBAGE_COLLECTION, **environment}


class _Go:
    def __init__(self, job: GoJob, log: ProgressLog) -> None:
        self._job = job
        self._log = log
        self._title = f"{job.component.name} {job.component.version}"

    def download(self, path: str, version: str) -> dict[str, str]:
        try:
            text = "\n".join(self.run(["mod", "download", "-json", f"{path}@{version}"], count=False))
        except HostedKubernetesError as error:
            raise HostedKubernetesError(
                f"{error.msg}. Is {version} a released version, and does your Go proxy (go env GOPROXY) serve it?"
            ) from error
        # Messages such as "go: downloading" come before the JSON.
        answer: dict[str, str] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
        self._job.check_sum(f"{path}@{version}", answer["Sum"])
        return answer

    def build(self, package: str, output: str, flags: Sequence[str], total: int) -> None:
        started = time.monotonic()
        target = os.path.join(self._job.out, output)
        self._log.step(f"{self._title}: compile {output} (at most {total} packages; those in Go's build cache are skipped)")
        self.run(["build", "-v", "-trimpath", *flags, "-o", target, package], count=True, total=total, what=output)
        require_static(target)
        megabytes = os.stat(target).st_size / 1e6
        self._log.step(f"{self._title}: {output} built in {duration_text(time.monotonic() - started)}, {megabytes:.0f} MB")

    def value(self, name: str) -> str:
        return self.run(["env", name], count=False)[-1].strip()

    def run(self, arguments: Sequence[str], *, count: bool, total: int = 0, what: str = "") -> list[str]:
        command = ["go", *arguments]
        self._log.output(f"$ {' '.join(command)}")
        lines: list[str] = []
        compiled, started = 0, time.monotonic()
        with subprocess.Popen(
            command,
            cwd=self._job.work,
            env=go_environment(self._job.arch, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                lines.append(line.rstrip("\n"))
                self._log.output(line)
                if count and _PACKAGE_LINE.match(line.strip()):
                    compiled += 1
                    self._log.progress(
                        f"{self._title}: {what}: {compiled} of at most {total} packages after {duration_text(time.monotonic() - started)}"
                    )
        if process.returncode != 0:
            raise HostedKubernetesError(self._failure(command, lines, process.returncode))
        return lines

    def _failure(self, command: Sequence[str], lines: Sequence[str], code: int) -> str:
        end = " | ".join(line for line in lines[-8:] if line.strip() and not line.startswith("go: downloading"))[-1200:]
        if any(_SECURITY in line for line in lines):
            end += (
                ". The module's content is not what it was (or not what the checksum database says): do not use it. "
                f"When you trust the change, remove {self._job.sums}"
            )
        return f"{self._title}: {' '.join(command)[:200]} ended with {code}: {end} (whole output: {self._log.path})"


def _recipe(component: Component) -> GoBuild:
    if component.go is None:
        raise HostedKubernetesError(f'{component.name} cannot be built from Go modules; use bundle_source "release" or "directory"')
    return component.go


def _upstream(modules: Sequence[Mapping[str, str]], go: _Go) -> UpstreamModule:
    local = go.value("GOVERSION")[len("go") :]
    if not modules:
        return UpstreamModule(".".join(local.split(".")[:2]))
    parsed = []
    for module in modules:
        with open(module["GoMod"], encoding="utf-8") as stream:
            parsed.append(parse_go_mod(stream.read()))
    wanted = newest_go(item.go for item in parsed)
    if go.value("GOTOOLCHAIN") == "local" and go_key(wanted) > go_key(local):
        raise HostedKubernetesError(
            f"{modules[0]['Path']} {modules[0]['Version']} needs Go {wanted}, this machine has {local} and GOTOOLCHAIN=local forbids fetching another; "
            f"install Go {wanted} or newer"
        )
    return UpstreamModule(wanted, parsed[0].godebug, parsed[0].staging)


def _write_main(job: GoJob, recipe: GoBuild, modules: Sequence[Mapping[str, str]]) -> None:
    if recipe.needs_main:
        if not job.main:
            raise HostedKubernetesError(
                f"{job.component.name}: its main.go was not handed over (role bundle, files/go/{job.component.name}/main.go)"
            )
        _write(os.path.join(job.work, "main.go"), job.main)
    elif recipe.upstream_main:
        _write(os.path.join(job.work, "main.go"), _trimmed(recipe, modules[0]["Dir"]))
        if job.main:
            # A small program of ours that upstream's image has too, in the package ./own.
            os.makedirs(os.path.join(job.work, "own"), exist_ok=True)
            _write(os.path.join(job.work, "own", "main.go"), job.main)


def _trimmed_copy(job: GoJob, recipe: GoBuild, folder: str) -> str:
    """Copy a module without the imports that its recipe drops; returns where it is for go.mod."""
    copy = os.path.join(job.work, "upstream")
    # The module cache is read-only, its modes would make this copy so too.
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    for root, _folders, _files in os.walk(copy):
        os.chmod(root, 0o755)
    _write(os.path.join(copy, recipe.trimmed), _trimmed(recipe, folder))
    return "./upstream"


def _trimmed(recipe: GoBuild, folder: str) -> str:
    with open(os.path.join(folder, recipe.trimmed), encoding="utf-8") as stream:
        return drop_imports(stream.read(), recipe.without_imports)


def drop_imports(source: str, imports: Sequence[str]) -> str:
    """Remove blank imports from a Go file. Raises HostedKubernetesError when one is not there (upstream has changed)."""
    for path in imports:
        source, found = re.subn(rf'^\s*_\s+"{re.escape(path)}"\s*\n', "", source, flags=re.MULTILINE)
        if not found:
            raise HostedKubernetesError(f"upstream no longer imports {path} there; this version needs another recipe")
    return source


def _flags(recipe: GoBuild) -> list[str]:
    stamps = [f"-X {name}={value}" for name, value in recipe.stamps]
    # The linker leaves debugging data out; not making it in the first place saves a tenth of the compiler's time.
    return ["-gcflags=all=-dwarf=false", "-ldflags", " ".join(["-s", "-w", *stamps])]


def _source(package: str, modules: Sequence[Mapping[str, str]]) -> str:
    if not modules:
        return "go: main.go of the bundle role"
    owners = [module for module in modules if package == module["Path"] or package.startswith(f"{module['Path']}/")]
    owner = max(owners, key=lambda module: len(module["Path"])) if owners else modules[0]
    return f"go: {owner['Path']}@{owner['Version']} {owner['Sum']}"


def _keep_sums(job: GoJob) -> None:
    made = os.path.join(job.work, "go.sum")
    if os.path.exists(made):
        os.makedirs(os.path.dirname(job.sums), exist_ok=True)
        shutil.copyfile(made, f"{job.sums}.part")
        os.replace(f"{job.sums}.part", job.sums)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
