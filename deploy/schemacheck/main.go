// Command schemacheck reads Kubernetes manifests from standard input and decodes those of other projects' resources
// into the Go types that those projects publish, refusing what the types do not have. The server's own checks beyond
// the types (defaults, CEL rules) it does not know. It is a module of its own, so that what it needs stays out of
// Sluice's.
//
//	cat manifests.yaml | schemacheck
//
// It prints a line "checked KIND NAME" for each resource it knows, passes over the others, and exits 1 on a fault.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	security "istio.io/client-go/pkg/apis/security/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// newResource makes the type of a resource; nil for one that is not known here.
func newResource(apiVersion, kind string) any {
	switch apiVersion + " " + kind {
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return new(monitoring.ServiceMonitor)
	case "monitoring.coreos.com/v1 PrometheusRule":
		return new(monitoring.PrometheusRule)
	case "keda.sh/v1alpha1 ScaledObject":
		return new(keda.ScaledObject)
	case "networking.istio.io/v1 DestinationRule":
		return new(networking.DestinationRule)
	case "networking.istio.io/v1 VirtualService":
		return new(networking.VirtualService)
	case "security.istio.io/v1 PeerAuthentication":
		return new(security.PeerAuthentication)
	case "security.istio.io/v1 AuthorizationPolicy":
		return new(security.AuthorizationPolicy)
	case "gateway.networking.k8s.io/v1 Gateway":
		return new(gateway.Gateway)
	case "gateway.networking.k8s.io/v1 HTTPRoute":
		return new(gateway.HTTPRoute)
	}
	return nil
}

func main() {
	if err := check(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var faults []error
	for document := range strings.SplitSeq("\n"+string(text), "\n---") {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			faults = append(faults, err)
			continue
		}
		resource := newResource(head.APIVersion, head.Kind)
		if resource == nil {
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), resource); err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err))
			continue
		}
		fmt.Fprintf(out, "checked %s %s\n", head.Kind, head.Metadata.Name)
	}
	return errors.Join(faults...)
}
