package auth

import (
	"fmt"
	"slices"
	"strings"
)

// A permission is a name for methods that belong together. A policy may also name a single method, as
// package.Service/Method.
const (
	permissionInference  = "inference"  // text for a prompt, in every protocol
	permissionTokenizer  = "tokenizer"  // text to tokens and back
	permissionModels     = "models"     // which models there are
	permissionHealth     = "health"     // grpc.health.v1 and what other protocols have of it
	permissionLoad       = "load"       // ORCA's load reports
	permissionReflection = "reflection" // the services' descriptions
	permissionMetrics    = "metrics"    // /metrics of the HTTP listener
	permissionChannelz   = "channelz"   // connections and sockets, with their peers
	permissionAdmin      = "admin"      // LoadModel, UnloadModel, and all of the admin address
)

// permissions are all of them.
func permissions() []string {
	return []string{
		permissionInference, permissionTokenizer, permissionModels, permissionHealth, permissionLoad,
		permissionReflection, permissionMetrics, permissionChannelz, permissionAdmin,
	}
}

// defaultPermissions are what a client has whose entry names none: what a user of models needs, and nothing about other
// users or for operators.
func defaultPermissions() []string {
	return []string{
		permissionInference, permissionTokenizer, permissionModels, permissionHealth, permissionLoad, permissionReflection,
	}
}

// permissionOf is the permission that a method belongs to; "" for one that this package does not know, which no list
// of permissions then covers. The method is as gRPC writes it, /package.Service/Method, or the path of an HTTP route.
func permissionOf(method string) string {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch service {
	case "sluice.v1.InferenceService", "vllm.Inference":
		return permissionInference
	case "sluice.v1.TokenizerService":
		return permissionTokenizer
	case "sluice.v1.ModelService":
		if name == "ListModels" || name == "GetModel" {
			return permissionModels
		}
		return permissionAdmin
	case "inference.GRPCInferenceService":
		return permissionOfOpenInference(name)
	case "vllm.Control":
		if slices.Contains([]string{"HealthCheck", "GetModelInfo", "GetServerInfo"}, name) {
			return permissionModels
		}
		return permissionAdmin
	case "grpc.health.v1.Health":
		return permissionHealth
	case "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection":
		return permissionReflection
	case "grpc.channelz.v1.Channelz":
		return permissionChannelz
	case "xds.service.orca.v3.OpenRcaService":
		return permissionLoad
	case "metrics":
		return permissionMetrics
	case "admin":
		return permissionAdmin
	}
	return ""
}

// permissionOfOpenInference sorts the methods of the Open Inference Protocol. Those that change the server belong to
// its administration, whether they are served or not.
func permissionOfOpenInference(method string) string {
	switch method {
	case "ModelInfer", "ModelStreamInfer":
		return permissionInference
	case "ServerLive", "ServerReady", "ModelReady":
		return permissionHealth
	case "ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex":
		return permissionModels
	default:
		return permissionAdmin
	}
}

// permissionSet is what a client may call.
type permissionSet map[string]bool

// newPermissionSet checks and collects permissions and methods.
func newPermissionSet(names []string) (permissionSet, error) {
	set := permissionSet{}
	for _, name := range names {
		if !slices.Contains(permissions(), name) {
			service, method, isMethod := strings.Cut(name, "/")
			if !isMethod || service == "" || method == "" {
				return nil, fmt.Errorf("%q is neither one of %s nor a method as package.Service/Method",
					name, strings.Join(permissions(), ", "))
			}
		}
		set[name] = true
	}
	return set, nil
}

// allows says whether a method is in the set, by itself or by its permission.
func (s permissionSet) allows(method string) bool {
	return s[permissionOf(method)] || s[strings.TrimPrefix(method, "/")]
}

// within says whether all of the set belongs to some permissions.
func (s permissionSet) within(permissions ...string) bool {
	for name := range s {
		if !slices.Contains(permissions, name) && !slices.Contains(permissions, permissionOf(name)) {
			return false
		}
	}
	return true
}
