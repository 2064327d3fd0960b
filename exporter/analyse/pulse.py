"""How connections relate to commands over the last minutes, from two counters and a gauge of INFO."""

from dataclasses import dataclass

from exporter.model import ServerInfo

WINDOW_SECONDS = 300.0
BEAT_SECONDS = 10.0  # between two beats that are kept, so that polls every second cost no more than others

Beat = tuple[float, int, int, int]


@dataclass(frozen=True, slots=True)
class Pulse:
    """Beats of one server: moment (monotonic), connections received, commands processed, clients."""

    beats: tuple[Beat, ...] = ()
    run_id: str = ""

    def after(self, info: ServerInfo, now: float) -> "Pulse":
        """With one more poll; another server, and counters that fell (CONFIG RESETSTAT), begin anew."""
        received, commands = (
            info.count(b"total_connections_received"),
            info.count(b"total_commands_processed"),
        )
        if received is None or commands is None:
            return NO_PULSE
        clients = info.count(b"connected_clients") or 0
        last = self.beats[-1] if self.beats else (now, 0, 0, 0)
        run_id = info.texts.get("run_id", "")
        same = run_id == self.run_id and received >= last[1] and commands >= last[2]
        kept = self.beats if same else ()
        beat = (now, received, commands, clients)
        if len(kept) > 1 and now - kept[-2][0] < BEAT_SECONDS:
            kept = kept[:-1]  # the newest always stands; those before it are further apart
        while kept and kept[0][0] <= now - WINDOW_SECONDS:
            kept = kept[1:]
        return Pulse((*kept, beat), run_id)

    @property
    def opened_per_command(self) -> float | None:
        """Connections opened per command; None where no command ran."""
        if not self.beats or (commands := self.beats[-1][2] - self.beats[0][2]) <= 0:
            return None
        return (self.beats[-1][1] - self.beats[0][1]) / commands

    @property
    def mean_lifetime(self) -> float | None:
        """Seconds that a connection lives on average, by Little's law; None where none was opened."""
        if not self.beats or (opened := self.beats[-1][1] - self.beats[0][1]) <= 0:
            return None
        seconds = self.beats[-1][0] - self.beats[0][0]
        clients = sum(beat[3] for beat in self.beats) / len(self.beats)
        return clients * seconds / opened


NO_PULSE = Pulse()
