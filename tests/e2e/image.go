//go:build linux

package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/tracebloc/image-refresh/tests/components"
)

// layoutOf is the folder of the image that buildah makes of the Dockerfile for
// a platform.
func layoutOf(platform string) string { return "image-" + strings.ReplaceAll(platform, "/", "-") }

// layoutAgain is the folder of the first of both, made once more of a copy of
// the sources.
const layoutAgain = "image-again"

// version is what the image and the chart are called here.
const version = "0.1.0"

// buildImages builds the program's image from the project's Dockerfile.
func buildImages(ctx context.Context, dir string) error {
	tests, err := components.Root()
	if err != nil {
		return err
	}
	b := builder{dir: dir, storage: filepath.Join(dir, "buildah"), sources: filepath.Dir(tests)}
	defer func() { _ = os.RemoveAll(b.storage) }() // large, and the whole folder goes in the end
	if err := b.prepare(ctx); err != nil {
		return fmt.Errorf("make the image of the Dockerfile's builder: %w", err)
	}
	again := filepath.Join(dir, "sources")
	if err := os.MkdirAll(again, 0o750); err != nil {
		return err
	}
	for _, name := range []string{"Dockerfile", ".dockerignore", "go.mod", "go.sum", "cmd", "internal"} {
		if err := run(ctx, "cp", "-r", filepath.Join(b.sources, name), again); err != nil {
			return err
		}
	}
	for _, platform := range both() {
		if err := b.build(ctx, layoutOf(platform), platform, b.sources); err != nil {
			return err
		}
	}
	return b.build(ctx, layoutAgain, both()[0], again)
}

// builder is a folder of images that buildah keeps. Nothing is pulled: the
// Dockerfile's builder is replaced by an image of this machine's own Go.
type builder struct{ dir, storage, sources string }

const builderImage = "localhost/builder:1"

func (b builder) buildah(ctx context.Context, args ...string) error {
	return run(ctx, "buildah", append([]string{
		"--storage-driver", "vfs", "--root", filepath.Join(b.storage, "root"), "--runroot", filepath.Join(b.storage, "run"),
	}, args...)...)
}

// prepare commits an image with a shell, the few commands of the Dockerfile,
// and the CA certificates. Go itself and its caches are mounted into it.
func (b builder) prepare(ctx context.Context) error {
	if err := run(ctx, "go", "-C", b.sources, "mod", "download"); err != nil {
		return err
	}
	archive := filepath.Join(b.dir, "builder.tar")
	if err := archiveCommands(ctx, archive, "sh", "cp", "mkdir", "find", "touch"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"from", "--name", "builder", "scratch"},
		{"add", "builder", archive, "/"},
		{"config", "--env", "PATH=/usr/local/go/bin:/bin", "--env", "GOPROXY=off", "--env", "GOMODCACHE=/go/mod",
			"--env", "GOCACHE=/go/cache", "--env", "GOTOOLCHAIN=local", "builder"},
		{"commit", "--rm", "builder", builderImage},
	} {
		if err := b.buildah(ctx, args...); err != nil {
			return err
		}
	}
	return os.Remove(archive)
}

func (b builder) build(ctx context.Context, layout, platform, sources string) error {
	commit, err := output(ctx, "git", "-C", b.sources, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	args := []string{"build", "--isolation", "chroot", "--pull-never", "--timestamp", "0", "--platform", platform, "--tag", layout}
	for _, value := range []string{
		"BUILDER=" + builderImage, "BUILDPLATFORM=linux/" + runtime.GOARCH, "VERSION=" + version, "COMMIT=" + commit,
	} {
		args = append(args, "--build-arg", value)
	}
	for variable, inside := range map[string]string{"GOROOT": "/usr/local/go", "GOMODCACHE": "/go/mod", "GOCACHE": "/go/cache"} {
		outside, err := output(ctx, "go", "env", variable)
		if err != nil {
			return err
		}
		args = append(args, "--volume", outside+":"+inside)
	}
	if err := b.buildah(ctx, append(args, sources)...); err != nil {
		return err
	}
	return b.buildah(ctx, "push", layout, "oci:"+filepath.Join(b.dir, layout))
}

var library = regexp.MustCompile(`/\S+\.so\S*`)

// archiveCommands writes an archive of commands, the libraries that they are
// linked with, and the CA certificates.
func archiveCommands(ctx context.Context, path string, commands ...string) (err error) {
	files := map[string]string{"etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt"}
	for _, command := range commands {
		binary, err := exec.LookPath(command)
		if err != nil {
			return err
		}
		files["bin/"+command] = binary
		linked, err := output(ctx, "ldd", binary)
		if err != nil {
			return err
		}
		for _, name := range library.FindAllString(linked, -1) {
			files[strings.TrimPrefix(name, "/")] = name
		}
	}
	file, err := os.Create(path) //nolint:gosec // a path of this program's
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	archive := tar.NewWriter(file)
	for name, from := range files {
		content, err := os.ReadFile(from) //nolint:gosec // programs and libraries of this machine
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	if err := archive.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
		return err
	}
	return archive.Close()
}

// run runs a command that is worth no word unless it fails.
func run(ctx context.Context, name string, args ...string) error {
	_, err := output(ctx, name, args...)
	return err
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the commands are this program's
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout, stderr.String())
	}
	return strings.TrimSpace(string(stdout)), nil
}
