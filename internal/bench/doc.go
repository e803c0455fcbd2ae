// Command bench measures nsnet beside others on the same machine, in one run, and prints
// Markdown tables of medians and ratios. make bench builds nsnet and runs it; it needs root.
//
// Seven parts: stars of idle nodes on one bridge, up and down, against Mininet, against a
// shell script of ip commands that does the wiring without containers, and against containers
// made without care for what grows with their number; changes of a star that runs, against its first up; exec in a lab of two nodes and in the largest against ip netns
// exec; the private memory of nsnet's processes; attach to a running Docker container, against docker network connect and
// against a shell script of the seven commands that do it by hand; images: nodes that run from one against nodes on the host's
// root, how much there is of a layer that a hundred nodes read, and pull against docker load and docker pull; and, with -old, an older nsnet against this one.
//
// # What is timed
//
// From the start of a program to the moment its star is complete, which for nsnet and the
// script is the program's end, for Mininet a line that it prints. Down ends when all links are gone.
// Pulling an image is a program's run, too, with the store on the disk that Docker's is on; nsnet waits until the layers are on
// disk, which Docker does not.
// Attach is a program's run; to take the interface away again is not counted.
// Commands that take few milliseconds, exec above all, write to /dev/null: to read what they write would take as long.
// Rounds of the competitors alternate, so that a change of the machine's load meets all.
//
// # Where it runs
//
// Everything happens in a sandbox, see [github.com/nsnet/nsnet/internal/sandbox]: the machine's links,
// namespaces and firewall rules are not touched, nor do they matter. Mininet's
// clean-up kills by name; it sees the sandbox's processes only.
//
// # What not to read into it
//
// A Mininet host shares all but network and mounts with its machine, a namespace of the script all but
// the network; an nsnet node is a container with seven namespaces and a root of its own.
package main
