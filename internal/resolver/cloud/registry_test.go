package cloud

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Names are read whole, label by label (I77), and say where ECR is asked.
func TestParse(t *testing.T) {
	t.Parallel()
	const account = "123456789012.dkr."
	for host, api := range map[string]string{
		account + "ecr.eu-central-1.amazonaws.com":                    "https://api.ecr.eu-central-1.amazonaws.com",
		account + "ecr.us-gov-west-1.amazonaws.com":                   "https://api.ecr.us-gov-west-1.amazonaws.com",
		account + "ecr.cn-north-1.amazonaws.com.cn":                   "https://api.ecr.cn-north-1.amazonaws.com.cn",
		account + "ecr.eusc-de-east-1.amazonaws.eu":                   "https://api.ecr.eusc-de-east-1.amazonaws.eu",
		account + "ecr.us-iso-east-1.c2s.ic.gov":                      "https://api.ecr.us-iso-east-1.c2s.ic.gov",
		account + "ecr.us-isob-east-1.sc2s.sgov.gov":                  "https://api.ecr.us-isob-east-1.sc2s.sgov.gov",
		account + "ecr.eu-isoe-west-1.cloud.adc-e.uk":                 "https://api.ecr.eu-isoe-west-1.cloud.adc-e.uk",
		account + "ecr.us-isof-south-1.csp.hci.ic.gov":                "https://api.ecr.us-isof-south-1.csp.hci.ic.gov",
		account + "ecr-fips.us-east-1.amazonaws.com":                  "https://api.ecr-fips.us-east-1.amazonaws.com",
		"123456789012.dkr-ecr.eu-west-1.on.aws":                       "https://ecr.eu-west-1.api.aws",
		"123456789012.dkr-ecr-fips.us-west-2.on.aws":                  "https://ecr-fips.us-west-2.api.aws",
		"123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn": "https://ecr.cn-north-1.api.amazonwebservices.com.cn",
		"PUBLIC.ecr.aws":     "https://api.ecr-public.us-east-1.amazonaws.com",
		"ecr-public.aws.com": "https://ecr-public.us-east-1.api.aws",
		"gcr.io":             "google", "eu.gcr.io": "google", "europe-west3-docker.pkg.dev": "google",
		"example.azurecr.io": "azurecr.io", "example.azurecr.cn": "azurecr.cn", "example.azurecr.us": "azurecr.us",

		"evilgcr.io": "", "a.b.gcr.io": "", "gcr.io.example.com": "", "pkg.dev": "", "a.b.pkg.dev": "", "evilpkg.dev": "", "gcr.io:8443": "",
		"azurecr.io": "", "a.b.azurecr.io": "", "evil-azurecr.io": "", "example.azurecr.de": "", "example.azurecr.io:443": "",
		"12345678901.dkr.ecr.eu-central-1.amazonaws.com": "", account + "ecr.eu-central-1.evil.amazonaws.com": "", account + "ecr.eu-central-1.on.aws": "",
		"123456789012.dkr-ecr.eu-central-1.amazonaws.com": "", account + "ecr.eu-central-1.amazonaws.com.evil.example": "", account + "ecr.amazonaws.com": "",
		"x" + account + "ecr.eu-central-1.amazonaws.com": "", "evil.public.ecr.aws": "", "xpublic.ecr.aws": "", "ghcr.io": "",
	} {
		r, got := Parse(host), ""
		switch {
		case r == nil:
		case r.provider == google:
			got = "google"
		case r.provider == microsoft:
			got = r.domain
		case r.public:
			got = r.api("ecr-public")
		default:
			got = r.api("ecr")
		}
		assert.Equal(t, api, got, host)
	}
}

// What ECR and STS call a failure decides what is to be done.
func TestAmazonCode(t *testing.T) {
	t.Parallel()
	for body, code := range map[string]string{
		`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Code>AccessDenied</Code></Error></ErrorResponse>`: "AccessDenied",
		`{"__type":"com.amazonaws.ecr#ThrottlingException","message":"x"}`:                                                          "ThrottlingException",
		`{"__type":"AccessDeniedException"}`: "AccessDeniedException",
		`{"code":"ResourceNotFound"}`:        "ResourceNotFound",
		`<html>`:                             "", ``: "",
	} {
		assert.Equal(t, code, amazonCode([]byte(body)), body)
	}
}
