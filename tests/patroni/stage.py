"""A real Patroni with three nodes over etcd, a weir that finds them, and clients that work through it.

Prints what clients saw of each thing that happens, and ends with 1 when that is more than weir promises.
"""

import argparse
import contextlib
import glob
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import psycopg

PATIENCE = 120


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait(what, found, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with contextlib.suppress(OSError, psycopg.Error):
            if answer := found():
                return answer
        time.sleep(0.1)
    raise SystemExit(f"waited in vain for {what}")


class Programs:
    """What was started, and is ended whatever happens."""

    def __init__(self, directory, user):
        self.directory, self.user, self.running = directory, user, []

    def start(self, name, command, env=None, as_self=False):
        log = open(self.directory / f"{name}.log", "ab")
        whose = {} if as_self or not self.user else {"user": self.user, "group": self.user, "extra_groups": []}
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            env=dict(os.environ, **(env or {})), cwd=self.directory, **whose,
        )
        self.running.append(process)
        return process

    def end(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


class Node:
    """A Patroni with its PostgreSQL."""

    def __init__(self, stage, number):
        self.stage, self.name = stage, f"pg{number}"
        self.port, self.rest = free_port(), free_port()
        self.data = stage.directory / self.name
        self.config = stage.directory / f"{self.name}.yml"
        self.process = None
        self.config.write_text(f"""
scope: demo
name: {self.name}
restapi:
  listen: 127.0.0.1:{self.rest}
  connect_address: 127.0.0.1:{self.rest}
  certfile: {stage.directory}/server.pem
  keyfile: {stage.directory}/server.key
  cafile: {stage.directory}/root.pem
ctl:
  cacert: {stage.directory}/root.pem
etcd3:
  host: 127.0.0.1:{stage.etcd}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 3
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters:
        wal_level: replica
        hot_standby: "on"
        max_connections: 60
        fsync: "off"
        unix_socket_directories: {stage.directory}
  initdb: [{{encoding: UTF8}}, data-checksums, {{locale: C}}]
postgresql:
  listen: 127.0.0.1:{self.port}
  connect_address: 127.0.0.1:{self.port}
  data_dir: {self.data}
  bin_dir: {stage.bin}
  pgpass: {stage.directory}/{self.name}.pgpass
  authentication:
    superuser: {{username: postgres, password: postgres}}
    replication: {{username: replicator, password: replicator}}
    rewind: {{username: postgres, password: postgres}}
  basebackup:
    - checkpoint: fast
  pg_hba:
    - local all all trust
    - host replication replicator 127.0.0.1/32 scram-sha-256
    - host all all 127.0.0.1/32 scram-sha-256
""")

    def start(self):
        self.process = self.stage.programs.start(
            self.name, [sys.executable, "-m", "patroni", str(self.config)]
        )

    def kill(self):
        """As a machine that loses its power."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError, ValueError, IndexError):
            postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
            os.kill(postmaster, signal.SIGKILL)
            for child in children:
                with contextlib.suppress(OSError):
                    os.kill(int(child), signal.SIGKILL)

    def connect(self, database="postgres"):
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password="postgres", dbname=database,
            autocommit=True, connect_timeout=5,
        )

    def is_primary(self):
        with self.connect() as connection:
            return not connection.execute("SELECT pg_is_in_recovery()").fetchone()[0]


class Stage:
    def __init__(self, weir, directory, user):
        self.directory, self.user, self.weir_program = directory, user, weir
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))[-1]
        self.bin = os.environ.get("PG_BIN", self.bin)
        self.programs = Programs(directory, user)
        self.etcd, self.weir, self.metrics = free_port(), free_port(), free_port()
        self.nodes = []

    def certificates(self):
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)

        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-subj",
                "/CN=patroni", "-days", "3")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=node")
        (self.directory / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out",
                "server.pem", "-days", "2", "-extfile", "names")
        for file in self.directory.iterdir():
            if self.user:
                shutil.chown(file, self.user, self.user)

    def start(self):
        self.certificates()
        peer = free_port()
        self.programs.start("etcd", [
            "etcd", "--data-dir", str(self.directory / "etcd"), "--name", "one",
            "--listen-client-urls", f"http://127.0.0.1:{self.etcd}", "--advertise-client-urls", f"http://127.0.0.1:{self.etcd}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"one=http://127.0.0.1:{peer}",
        ], env={"ETCD_ENABLE_V2": "false"})
        wait("etcd", lambda: urllib.request.urlopen(f"http://127.0.0.1:{self.etcd}/health").status == 200)
        self.nodes = [Node(self, number) for number in range(3)]
        self.nodes[0].start()
        wait("the first node", self.nodes[0].is_primary)
        with self.nodes[0].connect() as connection:
            connection.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
            connection.execute("CREATE DATABASE app OWNER app")
            connection.execute("GRANT pg_read_all_stats TO app")
        self.nodes[1].start()
        wait("the second node", lambda: not self.nodes[1].is_primary())
        self.start_weir()

    def start_weir(self):
        urls = ", ".join(f'"https://127.0.0.1:{node.rest}"' for node in self.nodes)
        config = self.directory / "proxy.toml"
        config.write_text(f"""
[listen]
address = "127.0.0.1:{self.weir}"
[metrics]
address = "127.0.0.1:{self.metrics}"
[health]
database = "app"
[pool]
primary_wait = "60s"
checkout_timeout = "60s"
[console]
users = ["app"]
[discovery]
kind = "patroni"
urls = [{urls}]
sslrootcert = "{self.directory}/root.pem"
interval = "1s"
keep = "5s"
[[servers]]
connections = 40
[[users]]
name = "app"
password = "app"
""")
        self.programs.start("weir", [self.weir_program, "run", "--config", str(config)], as_self=True)
        wait("weir to know the nodes", lambda: self.up() == {"pg0", "pg1"})

    def up(self):
        """The servers that weir has and that are up."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics").read().decode()
        return set(re.findall(r'weir_server_up\{server="([^"]+)"\} 1', text))

    def known(self):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics").read().decode()
        return set(re.findall(r'weir_server_up\{server="([^"]+)"\}', text))

    def client(self, database="app"):
        return psycopg.connect(
            host="127.0.0.1", port=self.weir, user="app", password="app", dbname=database, autocommit=True,
            connect_timeout=10,
        )

    def console(self, command):
        with self.client("weir") as connection:
            connection.execute(command)

    def leader(self):
        leaders = []
        for node in self.nodes:
            with contextlib.suppress(psycopg.Error):
                if node.is_primary():
                    leaders.append(node)
        return leaders[0] if len(leaders) == 1 else None

    def ctl(self, *arguments):
        command = str(Path(sys.executable).with_name("patronictl"))
        done = subprocess.run([command, "-c", str(self.nodes[0].config), *arguments], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"patronictl {' '.join(arguments)}: {done.stdout}{done.stderr}")

    def switch_over(self):
        wait("somebody who may take over", lambda: has_sync(self))
        old = self.leader()
        # The synchronous standby is the one that may take over.
        with old.connect() as connection:
            names = connection.execute("SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'").fetchall()
        self.ctl("switchover", "demo", "--leader", old.name, "--candidate", names[0][0], "--force")
        new = next(node for node in self.nodes if node.name == names[0][0])
        wait("the new leader", new.is_primary)
        return old, new


class Load:
    """Clients that write, clients that read, and pgbench, from now on until the end."""

    def __init__(self, stage, seconds):
        self.stage, self.over = stage, threading.Event()
        self.lock = threading.Lock()
        self.acknowledged, self.errors = [], {"write": [], "read": []}
        self.counts, self.gaps = {"write": 0, "read": 0}, {"write": 0.0, "read": 0.0}
        self.number = 0
        kinds = ["write"] * 4 + ["read"] * 4
        self.threads = [threading.Thread(target=self.work, args=(kind,), daemon=True) for kind in kinds]
        [thread.start() for thread in self.threads]
        self.pgbench = stage.programs.start("pgbench", [
            f"{stage.bin}/pgbench", "-h", "127.0.0.1", "-p", str(stage.weir), "-U", "app", "-n", "-S", "-M", "prepared",
            "-c", "4", "-T", str(seconds), "app",
        ], env={"PGPASSWORD": "app"}, as_self=True)

    def work(self, kind):
        connection, last = None, time.monotonic()
        while not self.over.is_set():
            try:
                if connection is None or connection.closed:
                    connection = self.stage.client()
                if kind == "write":
                    with self.lock:
                        self.number += 1
                        number = self.number
                    connection.execute("INSERT INTO marks VALUES (%s)", (number,))
                    with self.lock:
                        self.acknowledged.append(number)
                else:
                    connection.execute("SELECT count(*) FROM pgbench_branches").fetchone()
                now = time.monotonic()
                with self.lock:
                    self.counts[kind] += 1
                    self.gaps[kind] = max(self.gaps[kind], now - last)
                last = now
            except psycopg.Error as error:
                with self.lock:
                    self.errors[kind].append(str(error).strip().splitlines()[0])
                connection = None
                time.sleep(0.05)

    def begin(self):
        """Forgets what was counted so far."""
        with self.lock:
            self.errors, self.counts = {"write": [], "read": []}, {"write": 0, "read": 0}
            self.gaps = {"write": 0.0, "read": 0.0}

    def settle(self, seconds=3):
        """Waits until each client has surely been through what holds now."""
        with self.lock:
            before = dict(self.counts)
        wait("clients to go on", lambda: all(self.counts[kind] > before[kind] + 40 for kind in before))
        time.sleep(seconds)


class Judge:
    def __init__(self, load):
        self.load, self.wrong = load, []

    def of(self, what, writes=0, reads=0):
        """Prints what was seen since the beginning, and holds it against what may be seen."""
        load = self.load
        load.settle()
        with load.lock:
            errors, counts, gaps = dict(load.errors), dict(load.counts), dict(load.gaps)
        print(f"\n{what}")
        for kind, most in (("write", writes), ("read", reads)):
            seen = errors[kind]
            print(f"  4 clients that {kind}: {counts[kind]} done, {len(seen)} errors (at most {most}), "
                  f"longest pause {gaps[kind]:.2f} s")
            for text in sorted(set(seen)):
                print(f"      {seen.count(text)} x {text}")
            if len(seen) > most:
                self.wrong.append(f"{what}: {len(seen)} errors of clients that {kind}")
        if load.pgbench.poll() not in (None, 0):
            self.wrong.append(f"{what}: pgbench ended")
        sys.stdout.flush()

    def say(self, fact, holds):
        print(f"  {fact}: {'yes' if holds else 'NO'}")
        if not holds:
            self.wrong.append(f"not so: {fact}")


def play(stage, seconds):
    with stage.client() as connection:
        connection.execute("CREATE TABLE marks (id bigint PRIMARY KEY)")
    pgbench = [f"{stage.bin}/pgbench", "-h", "127.0.0.1", "-p", str(stage.weir), "-U", "app", "-i", "-q", "app"]
    subprocess.run(pgbench, check=True, capture_output=True, env=dict(os.environ, PGPASSWORD="app"))
    load = Load(stage, seconds)
    judge = Judge(load)

    load.begin()
    stage.nodes[2].start()
    wait("weir to find the third node", lambda: stage.up() == {"pg0", "pg1", "pg2"})
    judge.of("a third node joins")

    load.begin()
    stage.console("PAUSE")
    old, new = stage.switch_over()
    stage.console("RESUME")
    judge.of(f"a switchover from {old.name} to {new.name} between PAUSE and RESUME")

    wait("the old leader to follow", lambda: stage.up() == {"pg0", "pg1", "pg2"} and not old.is_primary())
    load.begin()
    old, new = stage.switch_over()
    # Each writer may have been at work on the old one.
    judge.of(f"a switchover from {old.name} to {new.name} without", writes=4)

    wait("the old leader to follow", lambda: stage.up() == {"pg0", "pg1", "pg2"} and not old.is_primary())
    wait("somebody who may take over", lambda: has_sync(stage))
    load.begin()
    began, dead = time.monotonic(), stage.leader()
    dead.kill()
    lead = wait("a failover", stage.leader)
    took = time.monotonic() - began
    judge.of(f"{dead.name}, the leader, is killed with its Patroni; {lead.name} takes over after {took:.1f} s", writes=4)

    wait("weir to take it out", lambda: dead.name not in stage.known())
    load.begin()
    dead.start()
    wait("weir to find it again", lambda: stage.up() == {"pg0", "pg1", "pg2"})
    judge.of(f"{dead.name} was taken out as no member, comes back as a replica and is found")

    load.begin()
    stage.ctl("pause", "demo", "--wait")
    replica = next(node for node in stage.nodes if node not in (lead, dead))
    replica.process.terminate()
    replica.process.wait(30)
    wait("Patroni to forget it", lambda: replica.name not in members(stage))
    time.sleep(8)
    judge.of(f"the cluster is paused, and the Patroni of {replica.name} stopped")
    judge.say("its PostgreSQL, which runs on, is still a server", replica.name in stage.up())
    replica.start()
    stage.ctl("resume", "demo", "--wait")

    load.over.set()
    [thread.join(30) for thread in load.threads]
    load.pgbench.send_signal(signal.SIGINT)
    load.pgbench.wait(30)
    log = (stage.directory / "pgbench.log").read_text()
    print("\nat the end")
    judge.say("no client of pgbench -S had an error", "aborted" not in log and "error" not in log.lower())
    with stage.leader().connect("app") as connection:
        there = {row[0] for row in connection.execute("SELECT id FROM marks").fetchall()}
    lost = [number for number in load.acknowledged if number not in there]
    judge.say(f"all {len(load.acknowledged)} rows that were acknowledged are there", not lost)
    return judge.wrong


def has_sync(stage):
    """Whether there is one that may take over, as Patroni has written it down: else it lets nobody."""
    return "sync_standby" in members(stage).values()


def members(stage):
    """Their roles by their names."""
    trust = ssl.create_default_context(cafile=str(stage.directory / "root.pem"))
    for node in stage.nodes:
        with contextlib.suppress(OSError):
            answer = urllib.request.urlopen(f"https://127.0.0.1:{node.rest}/cluster", context=trust, timeout=3)
            return {member["name"]: member["role"] for member in json.load(answer)["members"]}
    return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", required=True, help="the program")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    options = parser.parse_args()
    user = "postgres" if os.getuid() == 0 else None
    if user:
        pwd.getpwnam(user)
    directory = Path(tempfile.mkdtemp(prefix="weir-patroni-"))
    directory.chmod(0o755)
    if user:
        shutil.chown(directory, user, user)
    stage = Stage(os.path.abspath(options.weir), directory, user)
    try:
        stage.start()
        wrong = play(stage, 600)
    except BaseException:
        print(f"the logs are in {directory}", file=sys.stderr)
        options.keep = True
        raise
    finally:
        stage.programs.end()
        # Patroni ends its PostgreSQL with it, unless the cluster is paused.
        for node in stage.nodes:
            with contextlib.suppress(OSError, ValueError, IndexError):
                os.kill(int((node.data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        if not options.keep:
            time.sleep(1)
            shutil.rmtree(directory, ignore_errors=True)
    print("\n" + ("\n".join(wrong) if wrong else "nothing more than is promised was seen"))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
