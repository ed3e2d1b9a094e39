//go:build e2e && linux

package e2e

import (
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

const (
	programFile  = "program" // what containers run, in the folder
	layoutAgain  = "image-again"
	builderImage = "localhost/builder:1"
	version      = "0.1.0" // of the image and the chart
)

// layoutOf is the folder of the image that buildah makes of the Dockerfile for a platform.
func layoutOf(platform string) string { return "image-" + strings.ReplaceAll(platform, "/", "-") }

// platforms are those of the program's image, and of a release unless a suite says otherwise.
func platforms() []string { return []string{"linux/amd64", "linux/arm64"} }

// prepare builds everything, into the folder and the user's cache.
func prepare(ctx context.Context, dir string) error {
	if os.Getuid() != 0 {
		return errors.New("a node needs root: sudo make e2e")
	}
	if runtime.GOARCH != "amd64" {
		return errors.New("the suites are about a node of amd64")
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
	tests, err := components.Root()
	if err != nil {
		return err
	}
	begun := time.Now()
	binaries, err := realnode.Build(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := realnode.BuildProgram(ctx, filepath.Join(dir, programFile)); err != nil {
		return err
	}
	helm, err := output(ctx, filepath.Join(tests, "tools", "install"), "helm4")
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o750), os.Symlink(helm, filepath.Join(bin, "helm")),
		os.Symlink(binaries["kubectl"], filepath.Join(bin, "kubectl"))); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "e2e: what a node and an operator need is built (%s)\n", time.Since(begun).Round(time.Second))
	begun = time.Now()
	if err := buildImages(ctx, filepath.Dir(tests), dir); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "e2e: the program's image is built (%s)\n", time.Since(begun).Round(time.Second))
	return nil
}

// builderFiles collects what the Dockerfile's builder runs beside Go, and the CA certificates.
const builderFiles = `cd "$1"
mkdir bin tmp
chmod 1777 tmp
for command in sh cp mkdir find touch; do cp -L "$(command -v "$command")" bin/; done
ldd bin/* | grep -o '/[^ ]*\.so[^ ]*' | sort -u | xargs -I{} cp -L --parents {} .
cp -L --parents /etc/ssl/certs/ca-certificates.crt .`

// buildImages builds the program's image from the project's Dockerfile, for both platforms, and once more from a copy of the
// sources. Nothing is pulled: the Dockerfile's builder is an image of this machine's shell, into which its own Go is mounted.
func buildImages(ctx context.Context, sources, dir string) error {
	storage, root, again := filepath.Join(dir, "buildah"), filepath.Join(dir, "builder"), filepath.Join(dir, "sources")
	defer func() { _ = os.RemoveAll(storage) }() // large, and the whole folder goes in the end
	for _, folder := range []string{root, again} {
		if err := os.Mkdir(folder, 0o750); err != nil {
			return err
		}
	}
	goEnv, err := output(ctx, "go", "env", "GOROOT", "GOMODCACHE", "GOCACHE")
	if err != nil {
		return err
	}
	folders := strings.Fields(goEnv)
	commit, err := output(ctx, "git", "-C", sources, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	buildah := func(args ...string) []string {
		return append([]string{"buildah", "--storage-driver", "vfs", "--root", filepath.Join(storage, "root"),
			"--runroot", filepath.Join(storage, "run")}, args...)
	}
	commands := [][]string{
		{"go", "-C", sources, "mod", "download"},
		{"bash", "-euo", "pipefail", "-c", builderFiles, "builder", root},
		{"bash", "-c", `cd "$1" && cp -r Dockerfile .dockerignore go.mod go.sum cmd internal docs "$2"`, "copy", sources, again},
		buildah("from", "--name", "builder", "scratch"),
		buildah("add", "builder", root, "/"),
		buildah("config", "--env", "PATH=/usr/local/go/bin:/bin", "--env", "GOPROXY=off", "--env", "GOMODCACHE=/go/mod",
			"--env", "GOCACHE=/go/cache", "--env", "GOTOOLCHAIN=local", "builder"),
		buildah("commit", "--rm", "builder", builderImage),
	}
	for _, image := range [][3]string{
		{layoutOf(platforms()[0]), platforms()[0], sources}, {layoutOf(platforms()[1]), platforms()[1], sources},
		{layoutAgain, platforms()[0], again},
	} {
		layout, platform, from := image[0], image[1], image[2]
		commands = append(commands,
			buildah("build", "--isolation", "chroot", "--pull-never", "--timestamp", "0", "--platform", platform, "--tag", layout,
				"--build-arg", "BUILDER="+builderImage, "--build-arg", "BUILDPLATFORM=linux/"+runtime.GOARCH,
				"--build-arg", "VERSION="+version, "--build-arg", "COMMIT="+commit,
				"--volume", folders[0]+":/usr/local/go", "--volume", folders[1]+":/go/mod", "--volume", folders[2]+":/go/cache", from),
			buildah("push", layout, "oci:"+filepath.Join(dir, layout)))
	}
	for _, command := range commands {
		if _, err := output(ctx, command[0], command[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout, stderr.String())
	}
	return strings.TrimSpace(string(stdout)), nil
}
