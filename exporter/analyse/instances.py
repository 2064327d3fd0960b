"""The app in a name: what stands in names only to tell instances of one app apart, and how it is found."""

import re
from base64 import b64decode

from exporter.limits import LABEL_CHARACTERS

# What stands between words. Brackets too: `orders[7]`.
_SEPARATED = re.compile(r"([-_:./#+,;|~ \[\]{}]+)")
_BRACKETS = re.compile(r"[\[\]{}]")
_PARENTHESES = re.compile(r"([()])")
_CHUNKS = re.compile(r"([:/#,;| \[\]{}]+)")
_DIGITS = re.compile(r"[0-9]+")
_LETTERS = re.compile(r"[a-z]+", re.IGNORECASE)

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
# A machine of EC2, by its address or its id: it says nothing about what runs there.
_MACHINE = re.compile(
    r"(?<![0-9a-z])(?:ip(?:[-._][0-9]{1,3}){4}|i-[0-9a-f]{8}(?:[0-9a-f]{9})?)(?![0-9a-z])", re.IGNORECASE
)
# A number, a timestamp, an address of memory, a process, a machine of AKS, a hash (of git with a `g`).
_INSTANCE = re.compile(
    r"\d+|[0-9]+t[0-9]+z?|[0-9]+z|0x[0-9a-f]{4,}|[pt]id=?[0-9]+|vmss[0-9a-z]{6}|g?(?=[a-f]*[0-9])[0-9a-f]{7,}|\$latest",
    re.IGNORECASE,
)
_VERSION_OF_A_WORD = re.compile(r"(?<=[a-z][a-z])[0-9]+(?:\.[0-9]+){2,}", re.IGNORECASE)
_VERSION = re.compile(r"v[0-9]+(?:(?:alpha|beta|rc)[0-9]*)?", re.IGNORECASE)
_DOTTED = re.compile(r"[0-9]+(?:(?:a|b|rc|alpha|beta|dev|post)[0-9]*)?", re.IGNORECASE)
_OF_A_VERSION = re.compile(
    r"(?:alpha|beta|rc|pre|preview|post|snapshot|release|build|final|ga|x)[0-9]*", re.IGNORECASE
)
_LETTERS_IN_A_ROW, _SHORTEST_RANDOM, _LONGEST_WORD = 3, 6, 20
_DATE = re.compile(r"(?:19|20)[0-9]{6}")

# Kubernetes makes pod names of these characters only (apimachinery, util/rand): `-<template hash>-<pod>`,
# `-<minutes>-<pod>` for a CronJob, and `-<pod>` for a DaemonSet or a Job. Other generators have vowels too.
_POD = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{5}")
_TEMPLATE = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{6,10}")
_LIKE_A_POD = re.compile(r"[a-z0-9]{5}")
_LIKE_A_TEMPLATE = re.compile(r"[a-z0-9]{8,10}")
_JOINS = ("-", "_", ".")
# Cloud Run names revisions `orders-00042-kih`, and GKE its machines `gke-prod-pool-3f2a9c1d-x2x9`.
_REVISION, _OF_A_REVISION = re.compile(r"0[0-9]{4}"), re.compile(r"[a-z]{3}")
_OF_GKE, _MACHINE_OF_GKE = re.compile(r"[0-9a-f]{8}"), re.compile(r"[a-z0-9]{4}")
# Words that look like the end of a pod's name, or like a hash, and are none.
_WORDS = (
    "btrfs cdktf ddmrp dhcpd dnsbl fcntl gcsfs grpc2 grpcs html2 html5 http2 httpd https httpx jssdk "
    "lldpd mqtts mssql nfsv4 nspkg ntwrk pdfjs pgsql pkcs7 pkcs8 plsql ppc64 rdbms rdfjs rtmps sftps "
    "smbfs smbv2 smtpd smtps snmpd sqldb sqljs sshfs tmpfs xhtml xmltv ed25519 face2face "
    "admin agent alert async audit batch build cache clean click cloud crawl debug delay email event "
    "feeds fetch files first front graph green group guest hooks image index infer infra input kafka "
    "large limit local locks login mails media micro model mysql nginx notif order pages posts price "
    "probe proxy purge query queue quote reads redis relay reply retry route sales scale sched serve "
    "share shard small spool stage staff state stats stock store sweep tasks timer token topic trace "
    "trade train users video views watch white write "
)
_NO_INSTANCES = frozenset(_WORDS.split())

# What hosts' names end in. Two letters are left alone: they are regions as often as countries.
_DOMAINS = re.compile(
    r"com|net|org|io|edu|gov|cloud|internal|local|lan|localdomain|corp|intra|svc|example", re.IGNORECASE
)
_OWN_DOMAINS = frozenset(["local", "lan", "localdomain"])

_CLUSTER_OF_IOREDIS = "ioredis-cluster("
_FRED = re.compile(r"fred-[0-9A-Za-z]{10}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_QUEUE = re.compile(r"[-A-Za-z0-9_.:{}/ ]{5,}")


def app_in(name: str) -> str:
    """Read the app in a name: empty where the name tells instances apart and nothing else.

    Taken away are parentheses, what follows an `@`, the domain of a host, and words between separators that
    are a number, a version, a hash, a UUID, or the end of a pod's name. Digits that end a word stay, because
    nobody can tell `worker2` from `oauth2`.
    """
    text = _outside_parentheses(_own_name(name))
    text = text[:1] + text[1:].partition("@")[0]
    if _DIGITS.search(text):
        text = _MACHINE.sub("0", _UUID.sub("0", text))  # a number, dropped below
    if "." in text:
        text = _VERSION_OF_A_WORD.sub(".0.0", "".join(_host_alone(chunk) for chunk in _CHUNKS.split(text)))
    parts = _SEPARATED.split(text)
    return _joined(parts[::2], ["", *parts[1::2]])


def _own_name(name: str) -> str:
    """Read what libraries wrap: the queue of BullMQ, the own name within ioredis's, and the name of fred."""
    if name.startswith(_CLUSTER_OF_IOREDIS):
        name = name.partition("):")[2] or name
    if name.startswith("fred-") and _FRED.fullmatch(name):
        return "fred"
    return _with_queue(name) if ":" in name else name


def _with_queue(name: str) -> str:
    """Read the queue in `bull:<base64>`, which BullMQ and Bull follow by `:w:<worker>`, `:qe` or nothing.

    The prefix may be another, so there the queue has to look like one.
    """
    told = name.partition(":w:")[0].removesuffix(":qe")
    prefix, _, encoded = told.rpartition(":")
    if len(name) >= LABEL_CHARACTERS:
        encoded = encoded[: len(encoded) // 4 * 4]  # it was cut
    if not prefix or len(encoded) % 4 or not _BASE64.fullmatch(encoded):
        return name
    try:
        queue = b64decode(encoded, validate=True).decode()
    except ValueError:
        return name
    known = "bull" in prefix.lower() or told != name
    if queue.isprintable() and (known or (_QUEUE.fullmatch(queue) and not encoded.islower())):
        return f"{prefix}:{queue}"
    return name


def _outside_parentheses(text: str) -> str:
    """Cut what stands in parentheses; where nothing else stands there, it is what they hold."""
    if "(" not in text:
        return text
    kept, depth = [], 0
    for piece in _PARENTHESES.split(text):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth = max(depth - 1, 0)
        elif not depth:
            kept.append(piece)
    return "".join(kept) or _PARENTHESES.sub("", text)


def _host_alone(chunk: str) -> str:
    """Cut the domain: `web-3` of `web-3.prod.example.com`, but all of `socket.io`."""
    labels = chunk.split(".")
    least = 2 if labels[-1].lower() in _OWN_DOMAINS else 3
    return labels[0] if len(labels) >= least and _DOMAINS.fullmatch(labels[-1]) else chunk


def _versions(words: list[str], before: list[str]) -> set[int]:
    """Find the words that are a version: `v1`, numbers with dots between them, and the `rc2` that follows."""
    found: set[int] = set()
    for at, word in enumerate(words):
        known = at - 1 in found
        if word.isalpha():
            is_one = (
                _OF_A_VERSION.fullmatch(word) if known else before[at] == ":" and word.lower() == "latest"
            )
        elif before[at] == "." and _DOTTED.fullmatch(word):
            is_one = known or _DIGITS.fullmatch(words[at - 1])
        else:
            is_one = _VERSION.fullmatch(word) or (known and _OF_A_VERSION.fullmatch(word))
        if is_one:
            found.add(at)
    return found


def _pods(words: list[str], before: list[str]) -> set[int]:
    """Find the words that end a pod's name, wherever they stand: its own, and that of its template."""
    found: set[int] = set()
    for at in range(1, len(words)):
        word, other = words[at], words[at - 1]
        if before[at] not in _JOINS:
            continue
        if (_REVISION.fullmatch(other) and _OF_A_REVISION.fullmatch(word)) or (
            words[0] == "gke" and _OF_GKE.fullmatch(other) and _MACHINE_OF_GKE.fullmatch(word)
        ):
            found |= {at - 1, at}
        if not _LIKE_A_POD.fullmatch(word) or word in _NO_INSTANCES:
            continue
        is_pod = _POD.fullmatch(word)
        if _is_hash(other) or (is_pod and at > 1 and before[at - 1] in _JOINS and _TEMPLATE.fullmatch(other)):
            found |= {at - 1, at}
        elif before[at] != "." and (is_pod or len(_DIGITS.findall(word)) > 1):
            found.add(at)
    return found


def _is_hash(word: str) -> bool:
    """Tell whether a pod's own characters can follow: a template's hash, or the minutes of a CronJob."""
    if not _LIKE_A_TEMPLATE.fullmatch(word) or _DATE.fullmatch(word) or word in _NO_INSTANCES:
        return False
    return _INSTANCE.fullmatch(word) is not None or _is_mixed(word, 1)


def _is_mixed(word: str, least: int) -> bool:
    """Tell whether more runs of digits than these stand about in a word, and no four letters in a row."""
    letters = max(map(len, _LETTERS.findall(word)), default=0)
    return letters <= _LETTERS_IN_A_ROW and len(_DIGITS.findall(word)) > least


def _is_random(word: str) -> bool:
    """Tell whether a word is one that a program made up; `kafka2redis` and `log4j2` are none."""
    if len(word) >= _LONGEST_WORD:
        return len(_DIGITS.findall(word)) > 1
    return len(word) >= _SHORTEST_RANDOM and _is_mixed(word, 2)


def _tells_instances(word: str) -> bool:
    """Tell whether a word is a number, a hash or random, wherever it stands."""
    if not word or word.isalpha():
        return not word
    return word not in _NO_INSTANCES and (_INSTANCE.fullmatch(word) is not None or _is_random(word))


def _joined(words: list[str], before: list[str]) -> str:
    """Join the words that do not tell instances apart, each by the separator that stood before it."""
    pods = _pods(words, before)
    gone = pods | _versions(words, before)
    gone |= {at for at, word in enumerate(words) if _tells_instances(word)}
    # A process goes with its number, and a pod with the numbers of its threads and pools.
    counted = ("pid", "tid", "thread", "pool") if pods else ("pid", "tid")
    gone |= {
        at
        for at, word in enumerate(words[:-1])
        if word.lower() in counted and _DIGITS.fullmatch(words[at + 1])
    }
    kept = [at for at in range(len(words)) if at not in gone]
    half = len(kept) // 2
    if (
        half
        and kept[half] - kept[half - 1] > 1
        and [words[at] for at in kept[:half]] == [words[at] for at in kept[half:]]
    ):
        kept = kept[:half]  # a container that is called as its pod: `orders-7c9f8d6b5-x2x9k/orders`
    return "".join((_BRACKETS.sub("", before[at]) or "-") * (at != kept[0]) + words[at] for at in kept)
