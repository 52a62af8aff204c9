"""Units of systemd, as systemd.syntax(7) has them."""

from __future__ import annotations

__all__ = ("DIRECTIVES", "parse_unit")

# Of systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5) and systemd.resource-control(5): those that
# an example may use. One with another name is ignored by systemd, with a line in its log that nobody reads.
DIRECTIVES = {
    "Unit": frozenset(
        {"After", "Before", "Description", "Documentation", "Requires", "StartLimitIntervalSec", "Wants"}
    ),
    "Service": frozenset(
        {
            "CapabilityBoundingSet",
            "DynamicUser",
            "EnvironmentFile",
            "ExecReload",
            "ExecStart",
            "KillMode",
            "LimitNOFILE",
            "LockPersonality",
            "NoNewPrivileges",
            "PrivateDevices",
            "PrivateTmp",
            "ProtectClock",
            "ProtectControlGroups",
            "ProtectHome",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectProc",
            "ProtectSystem",
            "Restart",
            "RestartPreventExitStatus",
            "RestartSec",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDGUID",
            "SystemCallArchitectures",
            "SystemCallFilter",
            "TasksMax",
            "TimeoutStopSec",
            "Type",
            "UMask",
            "WorkingDirectory",
        }
    ),
    "Install": frozenset({"WantedBy"}),
}


def parse_unit(text: str) -> dict[str, dict[str, str]]:
    """Return the directives of each section.

    Args:
        text: the file.

    Raises:
        ValueError: a line is none, or a directive is unknown, in the wrong section, or there twice.
    """
    sections: dict[str, dict[str, str]] = {}
    section = ""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            section = line.strip().removeprefix("[").removesuffix("]")
            if section not in DIRECTIVES or section in sections:
                raise ValueError(f"{line!r} is no section, or there already")
            sections[section] = {}
            continue
        while line.endswith("\\"):
            # Comments may stand between the lines of a directive.
            following = next(each for each in lines if not each.startswith(("#", ";")))
            line = f"{line[:-1].rstrip()} {following.strip()}"
        name, equals, value = line.partition("=")
        if not equals or not section:
            raise ValueError(f"{line!r} is no directive")
        if name not in DIRECTIVES[section] or name in sections[section]:
            raise ValueError(f"{name!r} is not known in [{section}], or there already")
        sections[section][name] = value.strip()
    return sections
