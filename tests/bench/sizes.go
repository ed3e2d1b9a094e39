package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
)

// bundle is the certificates that the image holds beside the program.
const bundle = "/etc/ssl/certs/ca-certificates.crt"

// small measures what there is before any work: start-up and sizes.
func (b *bench) small(ctx context.Context) error {
	b.say("start-up and sizes")
	w := b.world
	info, err := os.Stat(w.binary)
	if err != nil {
		return err
	}
	image, err := compressed(w.binary, bundle)
	if err != nil {
		return err
	}
	env, err := w.environ(distance{}, false)
	if err != nil {
		return err
	}
	costs, err := w.alternate(ctx, b.rounds, nil,
		contender{"image-refresh version", []string{w.binary, "version"}, env},
		contender{"crane version", []string{w.crane, "version"}, env},
		contender{"kubectl version --client", []string{w.cluster.Kubectl(), "version", "--client"}, env})
	if err != nil {
		return err
	}
	tools := map[string]int64{}
	for name, path := range map[string]string{"crane": w.crane, "kubectl": w.cluster.Kubectl()} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		tools[name] = info.Size()
	}
	b.reportSmall(info.Size(), image, tools, costs)
	return nil
}

// compressed is how many bytes the image's one layer takes in a registry.
func compressed(files ...string) (int64, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, file := range files {
		content, err := os.ReadFile(file) //nolint:gosec // what the image holds
		if err != nil {
			return 0, fmt.Errorf("pack what the image holds: %w", err)
		}
		if err := archive.WriteHeader(&tar.Header{Name: file, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return 0, err
		}
		if _, err := archive.Write(content); err != nil {
			return 0, err
		}
	}
	if err := archive.Close(); err != nil {
		return 0, err
	}
	err := zip.Close()
	return int64(out.Len()), err
}
