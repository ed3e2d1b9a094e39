package components

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

const testsModule = "module github.com/tracebloc/image-refresh/tests\n"

// Root returns the folder of the tests module, found from the working directory upwards: go test runs each package's tests in its
// folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		for _, candidate := range []string{dir, filepath.Join(dir, "tests")} {
			mod, err := os.ReadFile(filepath.Join(candidate, "go.mod")) //nolint:gosec // the folder this runs in
			if err == nil && bytes.HasPrefix(mod, []byte(testsModule)) {
				return candidate, nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the tests module is neither here nor above: run this inside the repository")
		}
		dir = parent
	}
}

// cache returns the folder that built binaries are kept in.
func cache() (string, error) {
	for _, variable := range []string{"IMAGE_REFRESH_CACHE", "XDG_CACHE_HOME"} {
		if dir := os.Getenv(variable); dir != "" {
			return filepath.Join(dir, "image-refresh-tests"), nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (IMAGE_REFRESH_CACHE sets it): %w", err)
	}
	return filepath.Join(home, ".cache", "image-refresh-tests"), nil
}

// folder names where the component is kept. The key changes with everything that the build reads, so a bumped module never runs a
// stale binary.
func (c Component) folder(root string) (string, error) {
	cache, err := cache()
	if err != nil {
		return "", err
	}
	key := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, c.module, name)) //nolint:gosec // a folder of this repository
		if err != nil {
			return "", fmt.Errorf("find the module of %s: %w", c.Name, err)
		}
		_, _ = key.Write(text) // a hash takes everything
	}
	_, _ = fmt.Fprintf(key, "%s %s %s", c.path, c.ldflags, runtime.Version())
	return filepath.Join(cache, fmt.Sprintf("%s-%s-%s-%s-%x", c.Name, c.Version, runtime.GOOS, runtime.GOARCH, key.Sum(nil)[:6])), nil
}
