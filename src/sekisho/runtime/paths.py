"""Where the agent and its shims keep what: paths made from the run directory, the state directory and a session's id. Pure."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AgentPaths:
    """`run` is on /run (gone at reboot), `state` on the disk. `instance` is in every name that the whole machine can see."""

    instance: str
    run: Path
    state: Path

    @property
    def sessions(self) -> Path:
        return self.run / "s"

    @property
    def images(self) -> Path:
        return self.run / "images"

    @property
    def journal(self) -> Path:
        return self.state / "sessions"

    @property
    def runtime_root(self) -> Path:
        return self.run / "runc"

    @property
    def cgroup_name(self) -> str:
        return f"sekisho-{self.instance}"

    def session(self, session: str) -> "SessionPaths":
        return SessionPaths(self, session)


@dataclass(frozen=True, slots=True)
class SessionPaths:
    agent: AgentPaths
    session: str

    @property
    def folder(self) -> Path:
        return self.agent.sessions / self.session

    @property
    def socket(self) -> Path:
        return self.agent.sessions / f"{self.session}.sock"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def console(self) -> Path:
        return self.folder / "bundle" / "console.sock"

    @property
    def cgroup(self) -> str:
        return f"/{self.agent.cgroup_name}/{self.session}"

    @property
    def container(self) -> str:
        """The runtime's name for it: unique on the machine."""
        return f"{self.agent.cgroup_name}-{self.session}"

    @property
    def record(self) -> Path:
        return self.agent.journal / f"{self.session}.json"

    @property
    def outcome(self) -> Path:
        return self.agent.journal / f"{self.session}.outcome"

    @property
    def manifest(self) -> Path:
        return self.agent.journal / f"{self.session}.manifest"
