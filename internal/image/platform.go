package image

import (
	"errors"
	"regexp"
	"strings"
)

// Platform is what an image runs on, as in the OCI image index: operating system, architecture and variant.
type Platform struct {
	OS, Architecture, Variant string
	// Build is that of Windows, whose nodes run images of their own build only; empty where it is not known.
	Build string
}

var osVersion = regexp.MustCompile(`^([0-9]{1,10}(?:\.[0-9]{1,10}){2})(\.[0-9]{1,10})?$`)

// OfVersion is the platform with the build that an os.version names, but for its last part, which is a patch: any node of
// the build runs it (I90). It means nothing but for Windows.
func (p Platform) OfVersion(version string) Platform {
	if found := osVersion.FindStringSubmatch(version); found != nil && p.OS == "windows" {
		p.Build = found[1]
	}
	return p
}

var platform = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*){1,2}$`)

// ParsePlatform reads os/architecture or os/architecture/variant, in lower case.
func ParsePlatform(text string) (Platform, error) {
	if !platform.MatchString(text) {
		return Platform{}, errors.New("must be os/architecture or os/architecture/variant in lower case, as in linux/arm64")
	}
	parts := strings.Split(text, "/")
	parts = append(parts, "")
	return Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}, nil
}

func (p Platform) String() string {
	text := p.OS
	if p.Build != "" {
		text += "(" + p.Build + ")" // as containerd spells it
	}
	text += "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return text
}

// offers says whether an image built for p runs where want is asked for. An unset variant matches any, as does an unset
// build, and arm64 means arm64/v8.
func (p Platform) offers(want Platform) bool {
	if p.OS != want.OS || p.Architecture != want.Architecture {
		return false
	}
	if p.Build != want.Build && p.Build != "" && want.Build != "" {
		return false
	}
	have, need := p.variant(), want.variant()
	return have == need || have == "" || need == ""
}

func (p Platform) variant() string {
	if p.Variant == "" && p.Architecture == "arm64" {
		return "v8"
	}
	return p.Variant
}

// Known says whether p is a platform at all: attestations and the like carry "unknown".
func (p Platform) Known() bool {
	return p.OS != "" && p.OS != "unknown" && p.Architecture != "" && p.Architecture != "unknown"
}

// Missing lists the wanted platforms that none of those offered can serve, in the order wanted.
func Missing(wanted, offered []Platform) []Platform {
	var missing []Platform
	for _, want := range wanted {
		found := false
		for _, offer := range offered {
			found = found || offer.offers(want)
		}
		if !found {
			missing = append(missing, want)
		}
	}
	return missing
}
