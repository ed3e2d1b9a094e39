// Package cloud logs in at the registries of Amazon, Google and Microsoft as the pod, or the node, that the program runs on:
// no pull secret holds what they take. It knows which hosts are theirs, where an identity comes from in each cloud, and
// what is missing where there is none.
//
// What the clouds' own libraries know they do: the metadata services, signatures, key files, Microsoft's token endpoint.
// Amazon's two calls, which take thirty lines, are made by hand: the generated clients of the same library weigh six times as
// much as all of the rest, and every tick would pay for them.
package cloud

import (
	"regexp"
	"strings"
)

// Registry is one that takes a cloud's identity.
type Registry struct {
	Host     string // as image references name it, in lower case
	provider provider
	region   string // of Amazon's
	domain   string // of Amazon's services in that partition, and of Microsoft's registries in that cloud
	fips     bool   // of Amazon's: named by its FIPS name
	dual     bool   // of Amazon's: the domain is that of the services that are reached by IPv4 and IPv6
	public   bool   // Amazon's gallery
}

type provider int

const (
	amazon provider = iota + 1
	google
	microsoft
)

// Names are matched whole, label by label, so that evilgcr.io is nobody's (I77). Amazon's are those of its own credential
// helper, with the domain of its European Sovereign Cloud beside them: an account, a region, and a domain for each partition.
var (
	amazonName  = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9]+(?:-[a-z0-9]+)*)\.([a-z0-9.-]+)$`)
	googleName  = regexp.MustCompile(`^(?:(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+\.pkg\.dev)$`)
	microsofts  = regexp.MustCompile(`^[a-z0-9-]+\.(azurecr\.(?:io|cn|us))$`)
	amazonHosts = map[string]string{ // by the separator in front of ecr and the domain of registries, that of services
		".amazonaws.com": "amazonaws.com", ".amazonaws.com.cn": "amazonaws.com.cn", ".amazonaws.eu": "amazonaws.eu",
		".c2s.ic.gov": "c2s.ic.gov", ".sc2s.sgov.gov": "sc2s.sgov.gov", ".cloud.adc-e.uk": "cloud.adc-e.uk", ".csp.hci.ic.gov": "csp.hci.ic.gov",
		"-on.aws": "api.aws", "-on.amazonwebservices.com.cn": "api.amazonwebservices.com.cn",
	}
)

// Parse recognises a cloud's registry by its host; nil where it is none.
func Parse(host string) *Registry {
	host = strings.ToLower(host)
	r := &Registry{Host: host}
	switch host {
	case "public.ecr.aws":
		r.provider, r.public, r.region, r.domain = amazon, true, "us-east-1", "amazonaws.com"
		return r
	case "ecr-public.aws.com":
		r.provider, r.public, r.dual, r.region, r.domain = amazon, true, true, "us-east-1", "api.aws"
		return r
	}
	if part := amazonName.FindStringSubmatch(host); part != nil {
		separator := host[len("123456789012.dkr"):][:1]
		r.provider, r.fips, r.region, r.domain = amazon, part[1] != "", part[2], amazonHosts[separator+part[3]]
		r.dual = separator == "-"
		if r.domain == "" {
			return nil
		}
		return r
	}
	if googleName.MatchString(host) {
		r.provider = google
		return r
	}
	if part := microsofts.FindStringSubmatch(host); part != nil {
		r.provider, r.domain = microsoft, part[1]
		return r
	}
	return nil
}

// Rights says what an identity needs to pull from the registry, as what is to be done.
func (r *Registry) Rights() string {
	switch r.provider {
	case amazon:
		return "allow it ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on that repository, in its own policy and, where the repository is another account's, in the repository's as well"
	case google:
		return "grant it the role Artifact Registry Reader (roles/artifactregistry.reader) on that repository"
	case microsoft:
	}
	return "assign it the role AcrPull on the registry or, where the registry has ABAC repository permissions, Container Registry Repository Reader"
}

// How says how a pod gets an identity for the registry, as what is to be done.
func (r *Registry) How() string {
	switch r.provider {
	case amazon:
		return "give the pod a role (the annotation eks.amazonaws.com/role-arn on its service account, or a Pod Identity association for that)"
	case google:
		return "let the pod use Workload Identity (a role for its service account, or the annotation iam.gke.io/gcp-service-account on it)"
	case microsoft:
	}
	return `let the pod use Workload Identity (the label azure.workload.identity/use: "true" on the pod, the annotation azure.workload.identity/client-id on its service account, and a federated credential for that)`
}
