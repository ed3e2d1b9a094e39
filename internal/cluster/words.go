package cluster

import (
	"slices"
	"strings"
)

// What API servers, kubelets and container runtimes say, as far as something is read from it: they have no codes for it. Where
// a text is not known for certain, it is no evidence.

// pullReason says whether a container waits because its image could not be pulled
// (https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/types.go).
func pullReason(reason string) bool {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
		return true
	}
	return false
}

// startReason says whether a container could not be created or started: what waits for that, and what the runtimes say of its
// end (StartError: containerd; ContainerCannotRun: Docker).
func startReason(reason string) bool {
	switch reason {
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError",
		"StartError", "ContainerCannotRun":
		return true
	}
	return false
}

// deniesDigest says whether a pull failed for what the digest is: it is not there, fits no platform, or is corrupt. A chain of
// mirrors says more than one thing at once; one that has not answered may have had it.
func deniesDigest(message string) bool {
	if containsAny(withoutNames(message), "too many requests", "toomanyrequests", "timeout", "timed out", "deadline exceeded", "no such host",
		"connection refused", "connection reset", "unauthorized", "authorize", "authentication required", "denied", "forbidden", "x509", "server error",
		"bad gateway", "service unavailable") {
		return false
	}
	switch {
	// containerd: the manifest is not there, or a blob of it. Its ErrNotFound ends the trouble of a node's own store as well.
	case strings.HasSuffix(message, ": not found") && containsAny(message, "failed to resolve reference", "failed open: content at ",
		"failed open: could not fetch content descriptor"):
		return true
	// CRI-O, Docker: the same, by the registry's code MANIFEST_UNKNOWN or BLOB_UNKNOWN.
	case containsAny(message, "manifest unknown", "blob unknown"):
		return true
	// containerd, CRI-O (newer, older), Docker: nothing of the index fits the node.
	case containsAny(message, "no match for platform in manifest", "no image found in image index for architecture",
		"no image found in manifest list for architecture", "no matching manifest for "):
		return true
	// containerd: blobs that are their digests', and no image together.
	case containsAny(message, "wrong diff id calculated on extraction", "mismatched image rootfs and manifest layers"):
		return true
	}
	// No evidence though it sounds like it. A network that cuts or garbles what it carries: "failed size validation",
	// "unexpected EOF", "unexpected commit digest", "Digest did not match". A node: "no space left on device", "parent snapshot …
	// does not exist: not found", a credential helper that is not in $PATH. A token endpoint's "404 Not Found". The reasons
	// ErrImageNeverPull and InvalidImageName, which are about the pull policy and the name.
	return false
}

// missesInImage says whether a container cannot start for want of something in its image: the program (runc, crun), any
// command at all, a user that is not root. Another build may have it.
func missesInImage(message string) bool {
	return containsAny(message, `exec: "`, "executable file `", "exec format error", "no command specified", "image will run as root", "image has non-numeric user")
}

// refusesPods says whether the API server refuses pods, at admission, for something that the digest may have to do with: a
// policy about images, say. A quota has not, nor has a webhook that does not answer, nor what is missing in the namespace.
func refusesPods(message string) bool {
	if containsAny(message, "exceeded quota", "failed quota", "status unknown for quota", "insufficient quota", "failed calling webhook",
		"error looking up service account", "because it is being terminated") {
		return false
	}
	return containsAny(message, "is forbidden", "denied")
}

// withoutNames is a message in lower case without the names of images and the addresses in it, which may be made of any words.
func withoutNames(message string) string {
	words := slices.DeleteFunc(strings.Fields(strings.ToLower(message)), func(word string) bool {
		return word != "i/o" && strings.ContainsAny(word, "/@")
	})
	return strings.Join(words, " ")
}

func containsAny(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}
