#!/usr/bin/env python3
"""Prints which crate uses which, and checks the walls that ARCHITECTURE.md draws.

I/O: runs `cargo metadata`, reads nothing else. Needs only Python itself. A rule is an absence: what must not be
linked, directly or through others. Dependencies for tests (`dev-dependencies`) are not linked and not counted.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

RUNTIME = {"tokio", "hyper", "hyper-util"}
HTTP = RUNTIME | {"http", "http-body", "http-body-util", "httparse", "axum", "tower"}
AEAD = {"aws-lc-rs", "argon2", "ring", "aes-gcm", "chacha20poly1305"}
TLS = {"rustls", "tokio-rustls", "rcgen"}
RANDOM = {"rand", "getrandom"}
STORES = {"coffer-store", "coffer-store-redb"}
WIRES = {"coffer-wire-aws", "coffer-wire-local"}
MAY_RUN = {"coffer-server", "coffer-cli", "coffer-testkit", "coffer-bench"}
MAY_TLS = {"coffer-server", "coffer-testkit", "coffer-bench"}


class Workspace:
    """The graph of what is linked into what."""

    def __init__(self, metadata):
        packages = {package["id"]: package for package in metadata["packages"]}
        self.members = sorted(packages[member]["name"] for member in metadata["workspace_members"])
        self.direct = {}
        self._ids = {packages[member]["name"]: member for member in metadata["workspace_members"]}
        self._linked = {}
        for node in metadata["resolve"]["nodes"]:
            linked = [
                dependency["pkg"]
                for dependency in node["deps"]
                if any(kind["kind"] is None for kind in dependency["dep_kinds"])
            ]
            self._linked[node["id"]] = linked
        self._names = {package_id: package["name"] for package_id, package in packages.items()}
        for name, package_id in self._ids.items():
            self.direct[name] = {self._names[other] for other in self._linked[package_id]}

    def closure(self, name):
        """Everything that ends up in this crate, itself left out."""
        seen, waiting = set(), [self._ids[name]]
        while waiting:
            for other in self._linked[waiting.pop()]:
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return {self._names[package_id] for package_id in seen}


def rules(workspace, bare):
    """Each rule as a sentence and the violations of it; `bare` is the workspace without its default features."""
    members = workspace.members
    direct, closure = workspace.direct, {name: workspace.closure(name) for name in members}
    coffer = set(members)

    def linked(names, banned):
        return [f"{name} links {', '.join(sorted(closure[name] & banned))}" for name in names if closure[name] & banned]

    def used(names, banned):
        return [f"{name} uses {', '.join(sorted(direct[name] & banned))}" for name in names if direct[name] & banned]

    def only(owners, banned):
        return used([name for name in members if name not in owners], banned)

    bare_closure = {name: bare.closure(name) for name in members}
    yield (
        "only server, cli, testkit and bench link a runtime or hyper, and resolver for the stores it is built with",
        linked([name for name in members if name not in MAY_RUN | {"coffer-resolver"}], RUNTIME)
        + [
            f"{name} links {', '.join(sorted(bare_closure[name] & RUNTIME))} without its features"
            for name in members
            if name not in MAY_RUN and bare_closure[name] & RUNTIME
        ],
    )
    yield "only coffer-crypto uses a library of ciphers, or of random bytes", only({"coffer-crypto"}, AEAD | RANDOM)
    yield (
        "only server, testkit and bench use a library of TLS or certificates, and resolver for the stores it is built with",
        only(MAY_TLS | {"coffer-resolver"}, TLS)
        + [f"{name} uses one without its features" for name in members if name not in MAY_TLS and bare.direct[name] & TLS],
    )
    yield "only coffer-store-redb uses redb", only({"coffer-store-redb", "coffer-bench"}, {"redb"})
    yield "core knows no HTTP", linked(["coffer-core"], HTTP)
    yield "core links no engine of a store", linked(["coffer-core"], {"redb", "coffer-store-redb"})
    yield (
        "wire crates use no store, no key and no log",
        used(sorted(WIRES & coffer), STORES | {"coffer-crypto", "coffer-audit"}),
    )
    yield (
        "wire crates never link each other",
        [violation for wire in sorted(WIRES & coffer) for violation in linked([wire], WIRES - {wire})],
    )
    yield (
        "coffer-wire-local, whose client half anyone may use, links no core",
        linked(["coffer-wire-local"], coffer - {"coffer-types"}),
    )
    yield (
        "coffer-resolver, which applications link, knows of coffer only the types and its client",
        linked(["coffer-resolver"], coffer - {"coffer-types", "coffer-wire-local", "coffer-resolver-derive"}),
    )
    yield "types and policy stand alone", linked(["coffer-types", "coffer-policy"], coffer)
    yield (
        "a store sees sealed bytes only: it uses no crypto, no types, no core",
        linked(sorted(STORES & coffer), coffer - STORES),
    )
    yield (
        "crypto and audit stand below core",
        linked(["coffer-crypto"], coffer - {"coffer-types"})
        + linked(["coffer-audit"], coffer - {"coffer-types", "coffer-crypto"}),
    )
    yield (
        "nothing but bench links the test kit",
        linked([name for name in members if name not in ("coffer-testkit", "coffer-bench")], {"coffer-testkit"}),
    )


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    workspace, bare = (
        Workspace(json.loads(subprocess.run(command + more, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout))
        for more in ([], ["--no-default-features"])
    )
    print("who uses whom (what is linked; tests' own dependencies left out)\n")
    for name in workspace.members:
        ours = sorted(other.removeprefix("coffer-") for other in workspace.direct[name] if other in workspace.members)
        others = sorted(workspace.direct[name] - set(workspace.members))
        print(f"  {name:18} ours: {' '.join(ours) or '-'}")
        print(f"  {'':18} others: {' '.join(others) or '-'}  ({len(workspace.closure(name))} crates in all)")
    print()
    broken = 0
    for sentence, violations in rules(workspace, bare):
        print(f"  {'ok  ' if not violations else 'NO  '} {sentence}")
        for violation in violations:
            print(f"         {violation}")
        broken += bool(violations)
    print(f"\n{broken} invariants broken" if broken else "\nall invariants hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
