# Run by bash as the first process of private mount, network and process namespaces: FOLDER PROGRAM ARGUMENT... The program is run in
# them with a network and mounts that a node can use, and everything in them ends with it.
set -euo pipefail
folder=$1; shift

# What is written to these folders of the machine stays in ours.
mount --make-rshared /
for place in /etc /var; do
    mkdir -p "$folder/over$place" "$folder/work$place"
    mount -t overlay overlay -o "lowerdir=$place,upperdir=$folder/over$place,workdir=$folder/work$place" "$place"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock
mount --bind /run/netns /run/netns
mount --make-rshared /run/netns

# What the kubelet insists on: it finds it, and sets nothing for the whole machine.
mkdir "$folder/sysctl"
while read -r name value; do
    echo "$value" >"$folder/sysctl/$name"
    mount --bind "$folder/sysctl/$name" "/proc/sys/${name//-//}"
done <<'SETTINGS'
vm-overcommit_memory 1
vm-panic_on_oom 0
kernel-panic 10
kernel-panic_on_oops 1
kernel-keys-root_maxkeys 1000000
kernel-keys-root_maxbytes 25000000
SETTINGS

# The node's address; what else is outside the cluster has addresses that it answers for, and the real agent one of its own.
ip link set lo up
ip link add node0 type bridge
ip address add "$NODE_ADDRESS/24" dev node0
ip link set node0 up
ip route add default via "$NODE_ADDRESS" dev node0
ip route add local "$FARM_NETWORK" dev lo
ip link add agent0 type bridge
ip address add "$AGENT_ADDRESS/32" dev agent0
ip link set agent0 up
echo 1 >/proc/sys/net/ipv4/ip_forward

# In the background, so that this process goes on to reap whoever lost its parent.
"$@" & program=$!
status=0
wait "$program" || status=$?
exit "$status"
