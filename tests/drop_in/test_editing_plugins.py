"""`add`, `remove`, `install`, `lock`, `plugin list`, `hub`: the plugins of a project."""

from __future__ import annotations

import pytest

from drop_in import Case

DEFINITION = """\
name: tap-foreign
namespace: tap_foreign
variant: someone
label: Foreign
pip_url: tap-foreign==1.0
executable: tap-foreign
capabilities: [catalog, discover]
settings:
- name: url
  label: URL
- name: key
  sensitive: true
"""
REQUIRES = """\
requires:
  utilities:
  - name: sqlfluff
    variant: sqlfluff
"""
_PARENT = "refused: Meltano leaves a project behind that can not be read"
PLUGINS = ("exit", "project", "locks")

CASES = [
    Case(
        name="add",
        command="add",
        says="entry and lock file of a plugin of the hub; its kind is told by its name",
        script=("add tap-github --no-install", "add --no-install target-apprise"),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-native",
        command="add",
        says="a plugin of which there is a native variant",
        script=("add target-jsonl --no-install", "add tap-postgres --no-install"),
        compare=PLUGINS,
        hub=True,
        differs={
            "project": "the native variant is taken; `--variant` names the other one",
            "locks": "a native variant is as new as the program: there is nothing to lock",
        },
        better=True,
    ),
    Case(
        name="add-several",
        command="add",
        says="several at once",
        script=("add tap-github target-cratedb --no-install",),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-kind",
        command="add",
        says="`--plugin-type`, singular or plural",
        script=(
            "add sqlfluff --no-install",
            "add --plugin-type utilities sqlfluff --no-install",
            "add --plugin-type mapper transform-field --no-install",
        ),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-variant",
        command="add",
        says="`--variant`",
        script=("add tap-postgres --variant transferwise --no-install",),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-unknown-variant",
        command="add",
        says="a variant that is not there",
        script=("add tap-github --variant nobody --no-install",),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-unknown",
        command="add",
        says="a plugin that the hub does not have",
        script=("add tap-of-nobody --no-install",),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-as",
        command="add",
        says="`--as`: under another name, inheriting",
        script=("add tap-github --as tap-github--mine --no-install",),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-inheriting",
        command="add",
        says="`--inherit-from` a plugin of the project",
        script=("add tap-notes--more --inherit-from tap-notes --no-install",),
        compare=PLUGINS,
        differs={"locks": "a custom plugin is defined in the project file; no lock file repeats it"},
        better=True,
    ),
    Case(
        name="add-inheriting-from-hub",
        command="add",
        says="`--inherit-from` a plugin of the hub, with `--variant`",
        script=("add tap-pg --inherit-from tap-postgres --variant transferwise --no-install",),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-again",
        command="add",
        says="a plugin that is there stays and keeps what it was given",
        script=("add tap-github --no-install", "config set tap-github user_agent me", "add tap-github --no-install"),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-again-other-variant",
        command="add",
        says="another variant of a plugin that is there",
        script=(
            "add tap-postgres --variant meltanolabs --no-install",
            "add tap-postgres --variant transferwise --no-install",
        ),
        compare=PLUGINS,
        hub=True,
        differs={"exit": "nothing is added, and the exit code says so"},
        better=True,
    ),
    Case(
        name="add-python",
        command="add",
        says="`--python`",
        script=("add tap-github --python python3.11 --no-install",),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-no-update",
        command="add",
        says="`--update`, `--no-update`, `--force-install`",
        script=(
            "add tap-github --update --no-install",
            "add tap-github --no-update --no-install",
            "add tap-github --no-install --force-install",
        ),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="add-custom",
        command="add",
        says="`--custom` asks for namespace, pip_url, executable, capabilities, settings",
        script=("add tap-own --custom --no-install",),
        stdin="tap_mine\ntap-own==1\ntap-own\ncatalog,state\nurl,port:integer,key:password\n",
        compare=PLUGINS,
    ),
    Case(
        name="add-custom-defaults",
        command="add",
        says="`--custom`, every question answered with Return",
        script=("add tap-own --custom --no-install",),
        stdin="\n\n\n\n\n",
        compare=PLUGINS,
        differs={"project": "Return takes the capabilities that nearly every tap has"},
        better=True,
    ),
    Case(
        name="add-custom-local",
        command="add",
        says="`--custom`, `n`: a program that is there, nothing to install",
        script=("add target-own --custom",),
        stdin="\nn\n./bin/target\nfolder\n",
        compare=PLUGINS,
    ),
    Case(
        name="add-custom-utility",
        command="add",
        says="`--custom` of a utility",
        script=("add --custom --plugin-type utility own --no-install",),
        stdin="\n-\nown\n",
        compare=PLUGINS,
    ),
    Case(
        name="add-from-ref",
        command="add",
        says="`--from-ref`: a definition from a file",
        script=("add tap-foreign --from-ref definition.yml --no-install",),
        files={"definition.yml": DEFINITION},
        compare=PLUGINS,
    ),
    Case(
        name="add-required",
        command="add",
        says="what a plugin `requires` is added, too",
        script=("add tap-foreign --from-ref definition.yml --no-install",),
        files={"definition.yml": f"{DEFINITION}{REQUIRES}"},
        compare=PLUGINS,
        differs={"project": "Meltano leaves a key `lock`, which means nothing, in the entry"},
        better=True,
        hub=True,
    ),
    Case(
        name="add-from-ref-absent",
        command="add",
        says="`--from-ref` a file that is not there",
        script=("add tap-foreign --from-ref nothing.yml --no-install",),
        compare=PLUGINS,
    ),
    Case(
        name="add-from-ref-broken",
        command="add",
        says="`--from-ref` a file without a definition",
        script=("add tap-foreign --from-ref definition.yml --no-install",),
        files={"definition.yml": "variant: x\n"},
        compare=PLUGINS,
    ),
    Case(
        name="add-old-form",
        command="add KIND PLUGIN",
        says="the order of words of Meltano 3",
        script=("add extractor tap-github --no-install", "add loader target-cratedb --no-install"),
        compare=PLUGINS,
        hub=True,
        differs=dict.fromkeys(PLUGINS, "understood, as in Meltano 3"),
        better=True,
    ),
    Case(
        name="remove",
        command="remove",
        says="entry and lock file; what else stands in the file stays",
        script=("add tap-github --no-install", "remove tap-github", "remove target-lines"),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="remove-several",
        command="remove",
        says="several at once",
        script=("remove tap-notes--archive target-lines",),
        compare=PLUGINS,
    ),
    Case(
        name="remove-kind",
        command="remove",
        says="`--plugin-type`",
        script=("remove --plugin-type loader target-lines",),
        compare=PLUGINS,
    ),
    Case(
        name="remove-unknown",
        command="remove",
        says="a plugin that is not there",
        script=("remove tap-nothing",),
        compare=PLUGINS,
        differs={"exit": "a name that is not there is told; Meltano goes on"},
        better=True,
    ),
    Case(
        name="remove-parent",
        command="remove",
        says="a plugin that another one inherits from",
        script=("remove tap-notes",),
        compare=PLUGINS,
        differs={"exit": _PARENT, "project": _PARENT},
        better=True,
    ),
    Case(
        name="install",
        command="install",
        says="plugins that need no environment",
        script=("install", "install tap-notes", "install --plugin-type loader", "install -p 2 --clean --force"),
    ),
    Case(
        name="install-unknown",
        command="install",
        says="a plugin that is not there",
        script=("install tap-nothing",),
        differs={"exit": "a name that is not there is told; Meltano installs nothing and is content"},
        better=True,
    ),
    Case(
        name="install-schedule",
        command="install",
        says="`--schedule`: what a schedule needs",
        script=("install --schedule nightly", "install -s nightly tap-notes", "install --schedule nothing"),
    ),
    Case(
        name="install-fails",
        command="install",
        says="a package that is not there",
        script=("install tap-broken",),
        files={
            "meltano.yml": "plugins:\n  extractors:\n  - name: tap-broken\n    namespace: tap_broken\n"
            "    pip_url: ./nothing-here\n"
        },
    ),
    Case(
        name="install-old-form",
        command="install KIND PLUGIN",
        says="the order of words of Meltano 3",
        script=("install extractors", "install extractor tap-notes"),
    ),
    Case(
        name="lock",
        command="lock",
        says="writes the lock files that are not there",
        script=("lock",),
        files={
            "meltano.yml": "plugins:\n  extractors:\n  - name: tap-github\n    variant: meltanolabs\n"
            "  loaders:\n  - name: target-cratedb\n    variant: cratedb\n"
        },
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="lock-named",
        command="lock",
        says="the named plugins, or those of a kind",
        script=("lock tap-github", "lock --plugin-type extractors"),
        files={
            "meltano.yml": "plugins:\n  extractors:\n  - name: tap-github\n    variant: meltanolabs\n"
            "  loaders:\n  - name: target-cratedb\n    variant: cratedb\n"
        },
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="lock-update",
        command="lock",
        says="a lock file that is there stays; `--update` fetches it anew",
        script=("lock", "lock --update"),
        files={
            "meltano.yml": "plugins:\n  extractors:\n  - name: tap-github\n    variant: meltanolabs\n",
            "plugins/extractors/tap-github--meltanolabs.lock": '{"name": "tap-github", "namespace": "tap_github", '
            '"plugin_type": "extractors", "variant": "meltanolabs", "label": "Old", "pip_url": "old"}',
        },
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="lock-keeps",
        command="lock",
        says="a lock file that is there stays",
        script=("lock",),
        files={
            "meltano.yml": "plugins:\n  extractors:\n  - name: tap-github\n    variant: meltanolabs\n",
            "plugins/extractors/tap-github--meltanolabs.lock": '{"name": "tap-github", "namespace": "tap_github", '
            '"plugin_type": "extractors", "variant": "meltanolabs", "label": "Old", "pip_url": "old"}',
        },
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="lock-custom",
        command="lock",
        says="custom and inheriting plugins have no lock file",
        script=("lock",),
        compare=PLUGINS,
        hub=True,
    ),
    Case(
        name="lock-unknown",
        command="lock",
        says="a plugin that is not there",
        script=("lock tap-nothing",),
        compare=PLUGINS,
    ),
    Case(
        name="plugin-list",
        command="plugin list",
        says="`--format json`",
        script=("plugin list --format json", "add tap-github --no-install", "plugin list --format json"),
        compare=("exit", "json"),
        hub=True,
    ),
    Case(
        name="hub-list",
        command="hub list",
        says="`--format json`, a pattern, a kind, `--all`",
        script=(
            "hub list --format json",
            "hub list --format json github",
            "hub list --format json --plugin-type loader",
            "hub list --format json --all tap-p",
            "hub list nothing-like-it --format json --refresh",
        ),
        compare=("exit", "json"),
        hub=True,
        differs={"json": "native variants are listed as well, and are the default"},
        better=True,
    ),
    Case(
        name="hub-ping",
        command="hub ping",
        says="the hub can be reached",
        script=("hub ping",),
        hub=True,
    ),
    Case(
        name="hub-ping-offline",
        command="hub ping",
        says="without a network",
        script=("hub ping",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_answers_as_meltano_does(case: Case, same) -> None:
    same(case)
