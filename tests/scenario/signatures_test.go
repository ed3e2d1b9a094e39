package scenario_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// beside is what stands beside an image in its repository, and the way there.
type beside struct {
	site               *registries.Site
	repository, digest string
	platform           string // the digest of the image's only manifest
}

func (b beside) attach(manifests ...registries.Raw) {
	attach(b.site, b.repository, b.digest, manifests...)
}

// sig puts layers under cosign 2's tag.
func (b beside) sig(layers ...layer) {
	put(b.site, b.repository+":"+signatureTag(b.digest)+".sig", rawManifest(layers...))
}

// answers has requests for the list of referrers answered so.
func (b beside) answers(status int, body string, headers ...string) {
	b.inject("", faultinject.Reply(status, body, headers...))
}

// inject answers requests for the list of referrers otherwise, those with a query.
func (b beside) inject(query string, do faultinject.Action) {
	_, name, _ := strings.Cut(b.repository, "/")
	b.site.Front.Inject(registries.Fault{Do: do, Match: func(c registries.Call) bool {
		return c.Repository == name && strings.Contains(c.Path, "/referrers/") && c.Query.Encode() == query
	}})
}

func (b beside) published(signer string) registries.Raw {
	return rawManifest(bundled(statement(signer, b.digest, cosignSign)))
}

func (b beside) attested() registries.Raw {
	return rawManifest(bundled(statement("release", b.digest, "https://cosign.sigstore.dev/attestation/vuln/v1")))
}

// message is a bundle that signs a digest itself.
func message(signer, digest string) []byte {
	sum := must(hex.DecodeString(strings.TrimPrefix(digest, "sha256:")))
	return must(json.Marshal(map[string]any{"mediaType": bundleMedia, "messageSignature": map[string]any{
		"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": sum}, "signature": signedSum(signer, sum),
	}}))
}

const ofIndex = "Content-Type"

// What stands beside an image says whether it is signed: a row each, in a repository of its own.
var besides = []struct {
	name, cause, says string
	do                func(beside)
}{
	{"nothing", "unsigned", ": none)", func(beside) {}},
	{"bundle", "", "", func(b beside) { b.attach(b.published("release")) }},
	{"message", "", "", func(b beside) { b.attach(rawManifest(bundled(message("release", b.digest)))) }},
	{"sig", "", "", func(b beside) { b.sig(signedPayload("release", simpleSigning(b.digest))) }},
	{"sig-second", "", "", func(b beside) {
		b.sig(signedPayload("stranger", simpleSigning(b.digest)), signedPayload("release", simpleSigning(b.digest)))
	}},
	{"other-key", "unsigned", "2 by another key", func(b beside) {
		b.attach(b.published("stranger"))
		b.sig(signedPayload("stranger", simpleSigning(b.digest)))
	}},
	{"other-digest", "unsigned", "3 of another digest", func(b beside) {
		b.attach(rawManifest(bundled(statement("release", digestOf("x"), cosignSign))), rawManifest(bundled(message("release", digestOf("x")))))
		b.sig(signedPayload("release", simpleSigning(digestOf("x"))))
	}},
	{"tampered", "unsigned", "1 by another key", func(b beside) {
		one := signedPayload("release", simpleSigning(digestOf("x")))
		one.blob = simpleSigning(b.digest)
		b.sig(one)
	}},
	{"platform-alone", "unsigned", ": none)", func(b beside) {
		attach(b.site, b.repository, b.platform, rawManifest(bundled(statement("release", b.platform, cosignSign))))
	}},
	{"attestation", "unsigned", "1 an attestation, which is no signature", func(b beside) { b.attach(b.attested()) }},
	{"attestation-beside", "", "", func(b beside) { b.attach(b.attested(), b.published("release")) }},
	{"bad-sig-good-bundle", "", "", func(b beside) {
		b.attach(b.published("release"))
		b.sig(layer{[]byte("{"), simpleSigningMedia, nil})
	}},
	{"good-sig-bad-bundle", "", "", func(b beside) {
		b.attach(rawManifest(bundled([]byte("{"))))
		b.sig(signedPayload("release", simpleSigning(b.digest)))
	}},
	{"malformed", "unsigned", "1 malformed", func(b beside) { b.attach(rawManifest(bundled([]byte("{")))) }},
	{"oversized", "bad-response", "sent more than a manifest", func(b beside) { b.attach(oversized) }},
	{"oversized-beside", "", "", func(b beside) { b.attach(oversized, b.published("release")) }},
	{"hundred", "", "", func(b beside) { b.attach(append(b.strangers(99), b.published("release"))...) }},
	{"too-many", "bad-response", "more than 100", func(b beside) { b.attach(append(b.strangers(100), b.published("release"))...) }},
	{"api", "", "", func(b beside) {
		b.answers(http.StatusOK, string(listed(b.site, b.repository, b.attested(), b.published("release")).Manifest), ofIndex, "application/vnd.oci.image.index.v1+json")
	}},
	{"api-pages", "", "", func(b beside) {
		b.answers(http.StatusOK, string(listed(b.site, b.repository, b.attested()).Manifest), "Link", `</v2/signed/api-pages/referrers/`+b.digest+`?page=2>; rel="next"`)
		b.inject("page=2", faultinject.Reply(http.StatusOK, string(listed(b.site, b.repository, b.published("release")).Manifest)))
	}},
	{"api-without", "", "", func(b beside) { // as a registry has it that was upgraded since
		b.answers(http.StatusOK, string(listed(b.site, b.repository).Manifest))
		b.attach(b.published("release"))
	}},
	{"api-login-page", "bad-response", "a list of referrers that is none", func(b beside) { b.answers(http.StatusOK, "<html>please log in</html>") }},
	{"api-500", "server-error", "answered 500", func(b beside) { b.answers(http.StatusInternalServerError, "{}") }},
	{"api-429", "rate-limited", "answered 429", func(b beside) { b.answers(http.StatusTooManyRequests, "{}") }},
	{"api-501", "unsigned", ": none)", func(b beside) { b.answers(http.StatusNotImplemented, "{}") }},
	{"api-500-signed", "", "", func(b beside) {
		b.answers(http.StatusInternalServerError, "{}")
		b.sig(signedPayload("release", simpleSigning(b.digest)))
	}},
	{"deleted", "unsigned", ": none)", func(b beside) {
		gone := b.published("release")
		b.attach(gone)
		must(0, b.site.Delete(b.repository+"@"+describe(gone.Manifest, "").Digest.String()))
	}},
}

var oversized = rawManifest(bundled(bytes.Repeat([]byte(" "), 4<<20+1)))

// strangers are so many different bundles by another key.
func (b beside) strangers(n int) (all []registries.Raw) {
	for range n {
		all = append(all, b.published("stranger"))
	}
	return all
}

func TestWhatCountsAsASignature(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	writeKeys(s.Dir)
	config := "verify: {keys: [next.pub, release.pub]}\ntargets:\n"
	for _, row := range besides {
		repository := "ghcr.io/signed/" + row.name
		content := image(row.name)
		platform, _, err := content.Parts()
		require.NoError(t, err)
		b := beside{s.Site, repository, s.Push(repository+":1", content), platform}
		row.do(b)
		config += outdated(s, row.name, repository+":1")
	}
	for _, folder := range signedByCosign(t) {
		name := strings.ReplaceAll(filepath.Base(folder), ".", "-")
		config += outdated(s, name, cosigned(t, s, folder, "ghcr.io/signed/"+name)) + "    verify: {keys: [" + must(filepath.Abs(filepath.Join(folder, "key.pub"))) + "]}\n"
	}
	result := refreshes(t, s, config)
	for _, folder := range signedByCosign(t) {
		requireVerified(t, result, strings.ReplaceAll(filepath.Base(folder), ".", "-"), "", "")
	}
	for _, row := range besides {
		requireVerified(t, result, row.name, row.cause, row.says)
	}
	assert.Len(t, s.Site.Front.Calls(registries.Of("signed/too-many", registries.At("", registries.Blob))), 100, "no more is read")
}

// signedByCosign are what internal/signature/testdata/make has made: a folder for each version and type of key.
func signedByCosign(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("../../internal/signature/testdata/cosign-*")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	return folders
}

// cosigned pushes the image that cosign has signed, and beside it what cosign has put there, byte for byte.
func cosigned(t *testing.T, s *harness.Scenario, folder, repository string) (reference string) {
	t.Helper()
	kept := func(folder string) registries.Raw {
		var blobs [][]byte
		for _, name := range []string{"config", "layer"} {
			blobs = append(blobs, must(os.ReadFile(filepath.Join(folder, name))))
		}
		return registries.Raw{Manifest: must(os.ReadFile(filepath.Join(folder, "manifest.json"))), Media: types.OCIManifestSchema1, Blobs: blobs}
	}
	image, beside := kept(filepath.Join(folder, "../image")), kept(folder)
	put(s.Site, repository+":1", image)
	tag := repository + ":" + signatureTag(describe(image.Manifest, "").Digest.String())
	index, err := os.ReadFile(filepath.Join(folder, "index.json"))
	if err != nil {
		put(s.Site, tag+".sig", beside)
		return repository + ":1"
	}
	put(s.Site, repository+"@"+describe(beside.Manifest, "").Digest.String(), beside)
	put(s.Site, tag, registries.Raw{Manifest: index, Media: types.OCIImageIndex})
	return repository + ":1"
}

// outdated deploys a CronJob that holds another digest than the tag means, and is a target's configuration for it.
func outdated(s *harness.Scenario, name, reference string) string {
	s.Create(workloads.CronJob(name, workloads.Container("app", jobsManager), workloads.Env("app", slot, digestOf("before"))))
	return targetOf(name, reference, entry("CronJob", name, "app", "env: "+slot))
}

// refreshes has everything adopted, and returns what the next tick makes of it.
func refreshes(t *testing.T, s *harness.Scenario, config string) *product.Result {
	t.Helper()
	s.Setenv("MAX_ROLLOUTS", "0")
	s.Configure(config)
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Forget()
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	return result
}

func requireVerified(t *testing.T, result *product.Result, name, cause, says string) {
	t.Helper()
	target := result.Report.Target(name)
	assert.Equal(t, cause, target.Cause, "%s: %s", name, target.Message)
	assert.Contains(t, target.Message, says, name)
	want := map[bool]string{true: "refreshed", false: "skipped"}[cause == ""]
	assert.Equal(t, want, target.Workload(name).Outcome, name)
}

// A signature is asked for where pods pull and then, where that is allowed, at the image's own registry, with what matches its
// name there: a mirror need not have copied it, or may not be asked for it.
func TestSignaturesThroughAMirror(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	writeKeys(s.Dir)
	registriesConfig, targets := "verify: {keys: [release.pub]}\nregistries:\n", "targets:\n"
	rows := []struct {
		name, signed, more string // signed: where
		refuses            string // to list referrers
		cause              string
	}{
		{name: "by-mirror", signed: "mirror.", more: ", fallback: false"},
		{name: "by-origin", signed: ""},
		{name: "mirror-alone", signed: "", more: ", fallback: false", cause: "unsigned"},
		{name: "mirror-refuses", signed: "", refuses: "mirror."},
		{name: "nowhere", signed: "elsewhere.", cause: "unsigned"},
		{name: "origin-refuses", signed: "elsewhere.", refuses: "origin.", cause: "forbidden"},
	}
	for _, row := range rows {
		origin, mirror := "origin."+row.name+".example.com", "mirror."+row.name+".example.com"
		content := image(row.name)
		for _, host := range []string{origin, mirror} {
			tokenRegistry(t, s, host)
			digest := s.Push(host+"/app:1", content)
			if (row.signed == "mirror.") == (host == mirror) && row.signed != "elsewhere." {
				attach(s.Site, host+"/app", digest, rawManifest(bundled(statement("release", digest, cosignSign))))
			}
			if row.refuses != "" && strings.HasPrefix(host, row.refuses) {
				inject(s, func(c registries.Call) bool { return c.Host == host && strings.Contains(c.Path, "/referrers/") }, faultinject.Reply(http.StatusForbidden, `{"errors":[{"code":"DENIED"}]}`))
			}
		}
		registriesConfig += "  - {host: " + origin + ", mirrors: [" + mirror + "]" + row.more + "}\n"
		targets += outdated(s, row.name, origin+"/app:1")
	}
	result := refreshes(t, s, registriesConfig+targets)
	for _, row := range rows {
		requireVerified(t, result, row.name, row.cause, "")
	}
}
