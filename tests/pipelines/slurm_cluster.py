"""A Slurm cluster on this host, for tests: one slurmctld and the nodes n1 and n2, in a folder.

Its daemons listen on 127.0.0.1 without authentication, claim more processors than there may be, and are children
of whoever starts them. tests/pipelines/test_slurm.py and tools/slurm_faults use it.
"""
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time

NODES = ("n1", "n2")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

CONF = """ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
TmpFS={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
PlugStackConfig={folder}/plugstack.conf
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=1
SlurmctldTimeout=10
SlurmdTimeout=6
MessageTimeout=5
KillWait=5
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES DefaultTime=60 MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
"""


def missing():
    """Why no cluster can be started here; None where one can be tried."""
    for program in ("slurmctld", "slurmd", "sbatch", "squeue", "scancel"):
        if not shutil.which(program, path=PATH):
            return f"no {program}: 'tools/packages cluster' installs Slurm"
    return None


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Cluster:
    """In a folder that is there; a context."""

    def __init__(self, folder):
        self.folder = folder
        self.conf = os.path.join(folder, "slurm.conf")
        self.daemons = {}
        os.mkdir(os.path.join(folder, "state"))
        for node in NODES:
            os.mkdir(os.path.join(folder, node))
        with open(os.path.join(folder, "plugstack.conf"), "w", encoding="utf-8"):
            pass
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(CONF.format(folder=folder, user=getpass.getuser(), ports=free_ports(3)))

    def environment(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return {**clean, "SLURM_CONF": self.conf, "PATH": PATH}

    def ask(self, *words, check=True):
        done = subprocess.run(words, env=self.environment(), capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode:
            raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def launch(self, name):
        """slurmctld, or the slurmd of a node."""
        words = ["slurmctld", "-D"] if name == "slurmctld" else ["slurmd", "-D", "-N", name]
        with open(os.path.join(self.folder, name + ".out"), "ab") as out:
            self.daemons[name] = subprocess.Popen(words + ["-f", self.conf], env=self.environment(), stdout=out,
                                                  stderr=out, stdin=subprocess.DEVNULL, cwd=self.folder)

    def kill(self, name):
        self.daemons[name].kill()
        self.daemons[name].wait()

    def states(self):
        """Of the nodes, as sinfo tells them."""
        out = self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T", check=False)
        return dict(line.split() for line in out.splitlines() if len(line.split()) == 2)

    def jobs(self, *more):
        """[(name, state, host, reason)] of what waits and runs."""
        out = self.ask("squeue", "-h", "-r", "-o", "%j|%T|%N|%r", *more, check=False)
        return [tuple(line.split("|")) for line in out.splitlines()]

    def wait(self, what, condition, seconds=40):
        end = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            for name, daemon in self.daemons.items():
                if daemon.poll() is not None and name not in self.killed:
                    raise RuntimeError(f"{name} has ended: {self.last_words(name)}")
            if time.monotonic() > end:
                raise RuntimeError(f"{what}: not within {seconds} s; {self.jobs()} {self.states()}")
            time.sleep(0.05)

    killed = ()  # daemons that are meant to be dead

    def last_words(self, name):
        words = ""
        for end in (".out", ".log"):
            try:
                with open(os.path.join(self.folder, name + end), encoding="utf-8", errors="replace") as file:
                    words += "".join(file.readlines()[-5:])
            except OSError:
                pass
        return words

    def ready(self):
        states = self.states()
        return len(states) == len(NODES) and all(s in ("idle", "mixed", "allocated") for s in states.values())

    def __enter__(self):
        try:
            for name in ("slurmctld", *NODES):
                self.launch(name)
            self.wait("the nodes are idle", self.ready)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Ends all jobs, then the daemons, each by its own number."""
        alive = [d for d in self.daemons.values() if d.poll() is None]
        if self.daemons and self.daemons["slurmctld"].poll() is None:
            self.ask("scancel", "-u", getpass.getuser(), check=False)
            end = time.monotonic() + 15
            while self.jobs() and time.monotonic() < end:
                time.sleep(0.05)
        for daemon in alive:
            daemon.send_signal(signal.SIGTERM)
        for daemon in alive:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
