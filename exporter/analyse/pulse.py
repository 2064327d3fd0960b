"""How connections relate to commands over the last minutes, from two counters and a gauge of INFO."""

from dataclasses import dataclass
from struct import Struct

from exporter.limits import SERVER_BEATS
from exporter.model import ServerInfo

BEAT_SECONDS = 10.0  # between two beats that are kept, so that polls every second cost no more than others
WINDOW_SECONDS = (SERVER_BEATS - 1) * BEAT_SECONDS

# Moment (monotonic), connections received, commands processed, clients, connections refused; each server has
# thirty of these.
_BEAT = Struct("dQQQQ")
_LARGEST = 2**64 - 1  # of what servers count, too

Beat = tuple[float, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Pulse:
    """Beats of one server, the oldest first; `run_id` is whose they are."""

    packed: bytes = b""
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
        refused = info.count(b"rejected_connections") or 0
        beat = (now, *(min(number, _LARGEST) for number in (received, commands, clients, refused)))
        run_id, kept = info.texts.get("run_id", ""), self.packed
        last = self._beat(-1) if kept else beat
        if run_id != self.run_id or beat[1] < last[1] or beat[2] < last[2] or beat[4] < last[4]:
            kept = b""
        if len(kept) > _BEAT.size and now - self._beat(-2)[0] < BEAT_SECONDS:
            kept = kept[: -_BEAT.size]  # the newest always stands; those before it are further apart
        while kept and _BEAT.unpack_from(kept)[0] <= now - WINDOW_SECONDS:
            kept = kept[_BEAT.size :]
        return Pulse(kept + _BEAT.pack(*beat), run_id)

    @property
    def opened_per_command(self) -> float | None:
        """Connections opened per command; None where no command ran."""
        if not self.packed:
            return None
        _, opened, commands = self._span
        return opened / commands if commands > 0 else None

    @property
    def mean_lifetime(self) -> float | None:
        """Seconds that a connection lives on average, by Little's law; None where none was opened."""
        if not self.packed:
            return None
        seconds, opened, _ = self._span
        clients = [beat[3] for beat in _BEAT.iter_unpack(self.packed)]
        return sum(clients) / len(clients) * seconds / opened if opened > 0 else None

    @property
    def refused_per_second(self) -> float | None:
        """Connections refused per second; None after a single poll."""
        if not self.packed:
            return None
        first, last = self._beat(0), self._beat(-1)
        return (last[4] - first[4]) / (last[0] - first[0]) if last[0] > first[0] else None

    @property
    def _span(self) -> tuple[float, int, int]:
        """Seconds, connections received and commands processed from the first beat to the last."""
        first, last = self._beat(0), self._beat(-1)
        return last[0] - first[0], last[1] - first[1], last[2] - first[2]

    def _beat(self, number: int) -> Beat:
        return _BEAT.unpack_from(self.packed, number * _BEAT.size)


NO_PULSE = Pulse()
