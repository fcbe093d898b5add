"""Apache Kafka's jars, fetched by Maven once per version of `pom.xml`."""

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.apache_kafka.errors import ApacheKafkaError
from tests.support.sharing import exclusive

POM = Path(__file__).with_name("pom.xml")
CACHE = Path(__file__).parents[2] / ".settle/apache-kafka"
JAVA_VERSION_MIN = 17
# Less than a test's timeout, so that a slow network gives the message below.
FETCH_TIMEOUT_S = 150
JAVA_TIMEOUT_S = 30


def describe_lack() -> str:
    """Return which tools for Apache Kafka are missing on this machine, or an empty text."""
    for program in ("java", "mvn"):
        if not shutil.which(program):
            return f"Apache Kafka needs Java {JAVA_VERSION_MIN} and Maven, but there is no `{program}` on the PATH"
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=JAVA_TIMEOUT_S, check=False)
    version = re.search(r'version "(\d+)', told.stderr)
    if not version or int(version[1]) < JAVA_VERSION_MIN:
        return f"Apache Kafka needs Java {JAVA_VERSION_MIN}, but `java -version` says: {' '.join(told.stderr.split())}"
    return ""


def provide_jars() -> Path:
    """Return the folder of the jars, and fetch them if they are missing. Idempotent and safe in concurrent processes.

    Raises:
        ApacheKafkaError: Maven could not fetch them.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    jars = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    with exclusive(CACHE / "lock"):
        if not jars.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as name:
                draft = Path(name) / "jars"
                _fetch(draft)
                draft.rename(jars)
    return jars


def _fetch(directory: Path) -> None:
    command: list[str | Path] = [
        "mvn",
        "-q",
        "-B",
        "-f",
        POM,
        "dependency:copy-dependencies",
        f"-DoutputDirectory={directory}",
    ]
    try:
        fetched = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ApacheKafkaError(f"Maven did not fetch Apache Kafka within {FETCH_TIMEOUT_S} s: {command}") from error
    if fetched.returncode:
        raise ApacheKafkaError(f"Maven could not fetch Apache Kafka: {fetched.stdout.strip()[-800:]}")
