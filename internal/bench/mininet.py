"""One Mininet star: prints a line when it is up, removes it at the end of standard input."""

import sys

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import SingleSwitchTopo

setLogLevel("critical")
net = Mininet(
    topo=SingleSwitchTopo(k=int(sys.argv[1])),
    switch=LinuxBridge,
    controller=None,
    ipBase="10.0.0.0/16",
)
net.start()
print("up", flush=True)
for line in sys.stdin:
    host, address = line.split()
    print(net.get(host).cmd("ping -n -c 1 -W 2", address, ">/dev/null; echo $?").strip(), flush=True)
net.stop()
