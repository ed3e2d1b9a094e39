//go:build linux

package realnode

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/net/dns/dnsmessage"
)

// The node's addresses, in the network namespace of the sandbox. Nothing outside of it can be reached.
const (
	Address     = "172.30.0.1"
	Address6    = "fd00:30::1"
	PodNetwork  = "10.244.0.0/16"
	podNetwork6 = "fd00:244::/64"
)

// network makes the node's interface, with an address for each of hosts beside its own.
func network(ctx context.Context, hosts []string) error {
	lines := []string{
		"link set lo up", "link add node0 type bridge", "address add " + Address + "/24 dev node0",
		"-6 address add " + Address6 + "/64 dev node0 nodad", "link set node0 up",
		// Programs ask which way is out. Nobody answers there.
		"route add default via 172.30.0.254 dev node0",
	}
	for _, host := range hosts {
		lines = append(lines, "address add "+host+"/24 dev node0")
	}
	for _, line := range lines {
		if err := command(ctx, "ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

// resolve has every process of the sandbox ask the node's DNS server.
func (n *Node) resolve() error {
	const file = "/etc/resolv.conf"
	if link, err := os.Readlink(file); err == nil && strings.HasPrefix(link, "/run/") {
		// The sandbox has a /run of its own, in which the link leads nowhere.
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil { //nolint:gosec // as it is outside
			return err
		}
		if err := os.WriteFile(link, nil, 0o644); err != nil { //nolint:gosec // as it is outside
			return err
		}
	}
	if err := syscall.Mount(n.at("resolv.conf"), file, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("put a file in place of %s: %w", file, err)
	}
	return nil
}

// Firewall adds a rule (-I INPUT ...) and returns a function that deletes it.
func Firewall(ctx context.Context, chain, rule string) (remove func(context.Context) error, err error) {
	change := func(ctx context.Context, how string) error {
		return command(ctx, "iptables", append([]string{"--wait", how, chain}, strings.Fields(rule)...)...)
	}
	return func(ctx context.Context) error { return change(ctx, "--delete") }, change(ctx, "--insert")
}

func command(ctx context.Context, name string, args ...string) error {
	//nolint:gosec // the arguments are this package's and the test's
	if output, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, output)
	}
	return nil
}

// serveNames answers for these names at the node's address, and knows no other, until stop is called.
func serveNames(ctx context.Context, names map[string]string) (stop func() error, err error) {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", net.JoinHostPort(Address, "53"))
	if err != nil {
		return nil, fmt.Errorf("listen for names: %w", err)
	}
	go func() {
		query := make([]byte, 512)
		for {
			n, client, err := conn.ReadFrom(query)
			if err != nil {
				return // closed
			}
			if response, err := answer(names, query[:n]); err == nil {
				_, _ = conn.WriteTo(response, client) // whoever misses it asks again
			}
		}
	}()
	return conn.Close, nil
}

func answer(names map[string]string, query []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil {
		return nil, err
	}
	message.Response, message.Authoritative, message.RecursionAvailable = true, true, true
	message.Additionals = nil
	for _, question := range message.Questions {
		address, err := netip.ParseAddr(names[strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))])
		switch {
		case err != nil:
			message.RCode = dnsmessage.RCodeNameError
		case question.Type == dnsmessage.TypeA: // it has no other
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
	}
	return message.Pack()
}
