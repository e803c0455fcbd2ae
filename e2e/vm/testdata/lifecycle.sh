# Commands that are stopped, started again, waited for, and killed, while the node's network stays.
cat >/root/lifecycle.yaml <<'EOT'
name: lifecycle
nodes:
  web:
    command: "trap 'exit 0' TERM; (sleep 1001 &); echo run; while :; do sleep 0.1; done"
    ready: {log: ^run$}
    depends_on: {setup: {condition: exited}}
  setup: {command: "true"}
  fails: {command: exit 3, restart: "on-failure:1"}
  other: {ready: {exec: [ping, -c, "1", -W, "10", 10.81.0.1]}}
bridges: {lan0: {subnet: [10.81.0.0/24, "fd00:81::/64"]}}
links:
  - endpoints: ["web:eth0", lan0]
  - endpoints: ["other:eth0", lan0]
EOT
nsnet up /root/lifecycle.yaml --wait --wait-timeout 60s || [ $? = 11 ] # fails may have given up by now
in_web() { nsnet exec lifecycle/web -- "$@"; }
in_web ip route add 10.9.0.0/16 via 10.81.0.2
in_web ip address add fd00:9::1/64 dev eth0 nodad
network() { in_web sh -c 'ip -o link; ip -o address; ip route show table all; ip -6 route show table all' | sed 's/ expires [^ ]*//'; }
before=$(network)
pid=$(nsnet inspect --json lifecycle/web | grep '"pid"')
nsnet restart lifecycle/web
[ "$(network)" = "$before" ]
[ "$(nsnet inspect --json lifecycle/web | grep '"pid"')" = "$pid" ]
in_web ping -c 1 -W 10 10.81.0.2
eventually sh -c '[ $(nsnet logs lifecycle/web | grep -c run) = 2 ]'
nsnet stop lifecycle/web
said=$(in_web sh -c 'cat /proc/[0-9]*/cmdline | tr "\0" " "')
has_not() { ! echo "$1" | grep -q "$2"; }
has_not "$said" 'sleep 1001'
[ "$(network)" = "$before" ]
eventually sh -c 'nsnet ps lifecycle | grep -q "fails .*exited(3)"'
nsnet start lifecycle/web
kill -9 ${pid//[^0-9]/}
eventually sh -c 'nsnet ps lifecycle | grep -q "web .*dead (signal 9)"'
nsnet down lifecycle
