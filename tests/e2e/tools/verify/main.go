// Command verify says what Go's crypto/x509 makes of certificates, as istiod asks it: a JSON list of cases on standard
// input, a JSON list of verdicts on standard output. It knows the calls that istiod makes, none of istiod's code.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// Case is a cacerts by its files, with certificates that its CA has issued to a workload and to istiod itself.
type Case struct {
	Name        string    `json:"name"`
	Certificate string    `json:"certificate"`
	Key         string    `json:"key"`
	Chain       string    `json:"chain"`
	Roots       string    `json:"roots"`
	CRL         string    `json:"crl"`
	Leaf        string    `json:"leaf"`
	Serving     string    `json:"serving"`
	Now         time.Time `json:"now"`
}

// Verdict has why istiod refuses to sign with it, why a peer refuses the workload, and why an agent refuses istiod;
// empty where they don't.
type Verdict struct {
	Name    string `json:"name"`
	Istiod  string `json:"istiod"`
	Leaf    string `json:"leaf"`
	Serving string `json:"serving"`
}

func main() {
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		fmt.Fprintln(os.Stderr, "verify: cases on standard input:", err)
		os.Exit(1)
	}
	verdicts := make([]Verdict, 0, len(cases))
	for _, c := range cases {
		verdicts = append(verdicts, Verdict{
			Name: c.Name, Istiod: reason(istiod(c)), Leaf: reason(leaf(c)), Serving: reason(serving(c)),
		})
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

// istiod asks as security/pkg/pki/util/keycertbundle.go does when files change, and as a restart does.
func istiod(c Case) error {
	certificate, err := one(c.Certificate)
	if err != nil {
		return err
	}
	if _, err := all(c.Roots); err != nil {
		return fmt.Errorf("parse certificate from rootPEM got error: %w", err)
	}
	if _, err := certificate.Verify(options(c, 0)); err != nil {
		return fmt.Errorf("cannot verify the cert with the provided root chain: %w", err)
	}
	if _, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key)); err != nil {
		return fmt.Errorf("the cert does not match the key: %w", err)
	}
	if !certificate.IsCA {
		return errors.New("certificate is not authorized to sign other certificates")
	}
	return listed(c)
}

// listed is whether every CA of the chain has signed a CRL, if there are CRLs.
func listed(c Case) error {
	if c.CRL == "" {
		return nil
	}
	chain, err := all(c.Chain)
	if err != nil {
		return err
	}
	var lists []*x509.RevocationList
	for rest := []byte(c.CRL); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return err
		}
		lists = append(lists, list)
	}
	for _, authority := range chain {
		signed := false
		for _, list := range lists {
			signed = signed || list.CheckSignatureFrom(authority) == nil
		}
		if !signed {
			return fmt.Errorf("missing CRL signed by certificates: %s", authority.Subject)
		}
	}
	return nil
}

// leaf is how a peer looks at a workload of the mesh, as a server and as a client.
func leaf(c Case) error {
	certificate, err := one(c.Leaf)
	if err != nil {
		return err
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := certificate.Verify(options(c, usage)); err != nil {
			return err
		}
	}
	return nil
}

// serving is how an agent looks at istiod, under the name that it connects to.
func serving(c Case) error {
	certificate, err := one(c.Serving)
	if err != nil {
		return err
	}
	asked := options(c, x509.ExtKeyUsageServerAuth)
	asked.DNSName = "istiod.istio-system.svc"
	_, err = certificate.Verify(asked)
	return err
}

// options with usage 0 ask as istiod does, which says nothing of usages.
func options(c Case, usage x509.ExtKeyUsage) x509.VerifyOptions {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: c.Now}
	options.Roots.AppendCertsFromPEM([]byte(c.Roots))
	options.Intermediates.AppendCertsFromPEM([]byte(c.Chain))
	if usage != 0 {
		options.KeyUsages = []x509.ExtKeyUsage{usage}
	}
	return options
}

func one(text string) (*x509.Certificate, error) {
	certificates, err := all(text)
	if err != nil {
		return nil, err
	}
	if len(certificates) == 0 {
		return nil, errors.New("no certificate")
	}
	return certificates[0], nil
}

func all(text string) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return certificates, nil
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, certificate)
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
