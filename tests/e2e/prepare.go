//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/realnode"
)

// needed are the programs of Debian's packages, by the package that has them.
var needed = map[string]string{
	"containerd": "containerd", "runc": "runc", "iptables": "iptables", "ip": "iproute2", "buildah": "buildah",
	"/usr/lib/cni/bridge": "containernetworking-plugins",
}

// prepare builds everything, into the folder and the user's cache.
func prepare(ctx context.Context, dir string) error {
	if os.Getuid() != 0 {
		return errors.New("a node needs root: sudo make e2e")
	}
	if runtime.GOARCH != "amd64" {
		return errors.New("the story is about a node of amd64")
	}
	var missing []string
	for program, from := range needed {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, from)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("programs are missing: apt-get install %s", strings.Join(missing, " "))
	}
	begun := time.Now()
	if err := realnode.Build(ctx, os.Stderr); err != nil {
		return err
	}
	if err := realnode.BuildProgram(ctx, filepath.Join(dir, programFile)); err != nil {
		return err
	}
	if err := tools(ctx, filepath.Join(dir, "bin")); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "e2e: what a node and an operator need is built (%s)\n", time.Since(begun).Round(time.Second))
	begun = time.Now()
	if err := buildImages(ctx, dir); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "e2e: the program's image is built (%s)\n", time.Since(begun).Round(time.Second))
	return nil
}

// tools puts what an operator types into a folder of its own: kubectl, and both
// versions of Helm.
func tools(ctx context.Context, bin string) error {
	tests, err := components.Root()
	if err != nil {
		return err
	}
	kubectl, err := components.Kubernetes136.Kubectl().Build(ctx, os.Stderr)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(tests, "tools", "install"), "helm3", "helm4") //nolint:gosec // a script of this repository
	cmd.Stderr = os.Stderr
	paths, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("build Helm: %w", err)
	}
	helm := bytes.Fields(paths)
	if len(helm) != 2 {
		return fmt.Errorf("build Helm: two paths were to be printed, not %q", paths)
	}
	if err := os.Mkdir(bin, 0o750); err != nil {
		return err
	}
	for name, path := range map[string]string{"kubectl": kubectl, "helm3": string(helm[0]), "helm": string(helm[1])} {
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return nil
}
