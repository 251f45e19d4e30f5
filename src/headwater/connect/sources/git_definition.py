"""What the git source is called and how it is set."""

from __future__ import annotations

from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Setting, SettingKind

GIT = Definition(
    plugin_type=PluginKind.EXTRACTOR,
    name="tap-git",
    namespace="tap_git",
    variant="headwater",
    label="Git history",
    native="git",
    description="Commits of a git repository, the files that they change, who wrote them, branches and tags; "
    "only what is new",
    capabilities=("catalog", "discover", "state"),
    settings_group_validation=(("repository",),),
    settings=(
        Setting(
            name="repository",
            kind=SettingKind.STRING,
            label="Repository",
            description="Its folder, `user@host:path`, or an address (`https`, `ssh`, `file`) that it is cloned from.",
            placeholder="https://github.com/owner/name",
        ),
        Setting(
            name="ref",
            kind=SettingKind.STRING,
            value="HEAD",
            label="Branch, tag or commit",
            description="Whose history is read; `*` for all branches and tags.",
        ),
        Setting(
            name="since",
            kind=SettingKind.DATE,
            label="Since",
            description="Leave out commits from before that day, as `git log --since` does.",
        ),
        Setting(
            name="mailmap",
            kind=SettingKind.BOOLEAN,
            value=True,
            label="Use .mailmap",
            description="Name people as the repository's file `.mailmap` says.",
        ),
        Setting(
            name="username",
            kind=SettingKind.STRING,
            value="git",
            label="User",
            description="Who reads, for `https` and with a token.",
        ),
        Setting(
            name="token",
            kind=SettingKind.STRING,
            sensitive=True,
            label="Token",
            description="For `https`: a token or password. Without it, what git's own configuration says.",
        ),
        *STREAM_MAPS,
        Setting(name="root", kind=SettingKind.STRING, hidden=True, description="Where relative paths start"),
    ),
)
