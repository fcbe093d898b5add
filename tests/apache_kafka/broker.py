"""A single Apache Kafka broker with its own controller (KRaft), in a folder, on loopback."""

import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from local_stack.ports import LOOPBACK, PortBook
from local_stack.processes import ServerProcess
from tests.apache_kafka.errors import ApacheKafkaError
from tests.apache_kafka.jars import provide_jars

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
FORMAT_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.05
CLUSTER_ID = "c2V0dGxlLXRlc3RzLWthZg"
# The port opens earlier, while the broker may still be fenced and cannot create topics.
STARTED = "Kafka Server started"
JAVA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData")
LOGGING = Path(__file__).with_name("log4j2.properties")

# The broker flushes its data to disk by the defaults. A killed broker may only start again after the session of its
# predecessor has expired, by default 9 s.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{advertised_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""


class ApacheKafka:
    """The broker. As a context manager it starts on entry, and nothing of it is left running on exit.

    It keeps its address and its data over `kill` and `stop`. Methods block until they have taken effect.
    """

    def __init__(self, directory: Path, advertised_port: int | None = None) -> None:
        """Create a broker for an existing folder, without starting it.

        Args:
            directory: The broker's folder.
            advertised_port: The port that clients connect to, if there is a proxy.
        """
        self._directory = directory.resolve()
        self._advertised_port = advertised_port
        self._ports = PortBook(self._directory / "ports.json")
        self._properties = self._directory / "server.properties"
        self._process = ServerProcess(
            "java",
            working_directory=self._directory,
            pid_file=self._directory / "pid.json",
            log_file=self._directory / "kafka.log",
        )

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, known from the first start on."""
        return f"{LOOPBACK}:{self._ports.fetch('broker')}"

    def start(self) -> None:
        """Start the broker and wait until it can be used. It keeps its data and address from earlier starts.

        Raises:
            ApacheKafkaError: The broker did not start. The message has the end of its log.
        """
        if not self._properties.exists():
            self._format()
        self._process.start(_java("kafka.Kafka", self._properties))
        deadline = time.monotonic() + START_TIMEOUT_S
        while STARTED not in self._process.read_log_tail():
            if not self._process.is_running():
                raise self._failure(self._process.describe_end())
            if time.monotonic() > deadline:
                self.kill()
                raise self._failure(f"it was not ready within {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_INTERVAL_S)

    def kill(self) -> None:
        """Kill the broker (SIGKILL), paused or not."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the broker gracefully (SIGTERM)."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Pause the broker (SIGSTOP). Its connections stay open, but it answers no one."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the broker after `pause`."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _end(self, end_signal: signal.Signals) -> None:
        self._process.send_signal(end_signal)
        self._process.await_stop(timeout_s=STOP_TIMEOUT_S)

    def _format(self) -> None:
        """Choose the ports and format the storage. The properties file is written last and complete."""
        draft = self._directory / "draft.properties"
        port = self._ports.reserve("broker")
        draft.write_text(
            PROPERTIES.format(
                host=LOOPBACK,
                port=port,
                advertised_port=self._advertised_port or port,
                controller_port=self._ports.reserve("controller"),
                data=self._directory / "data",
            )
        )
        format_storage(draft)
        draft.rename(self._properties)

    def _failure(self, what: str) -> ApacheKafkaError:
        said = self._process.read_log_tail() or "nothing"
        return ApacheKafkaError(
            f"Apache Kafka did not start: {what}, and its log ends with: {said}. The log is {self._process.log_file}."
        )


def format_storage(properties: Path) -> None:
    """Write the cluster's id to the data folder of the properties.

    Raises:
        ApacheKafkaError: The tool refused the properties or could not write.
    """
    formatted = subprocess.run(
        _java("kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", properties),
        cwd=properties.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=FORMAT_TIMEOUT_S,
        check=False,
    )
    if formatted.returncode:
        raise ApacheKafkaError(f"Apache Kafka's storage could not be formatted: {formatted.stdout.strip()[-800:]}")


def _java(main_class: str, *arguments: str | Path) -> list[str | Path]:
    logging = f"-Dlog4j2.configurationFile={LOGGING}"
    return ["java", *JAVA_OPTIONS, logging, "-cp", f"{provide_jars()}/*", main_class, *arguments]
