package status

import (
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
)

// folderResource is the resource type of a ResourceInfo that names a folder of the model store.
const folderResource = "sluice.v1.ModelFolder"

// AdminOnlyError says that a method is for the operator of the server and not for its clients.
type AdminOnlyError struct{ Method string }

func (e *AdminOnlyError) Error() string {
	return e.Method + " is served on the admin address only, which the server's --admin-addr opens"
}

// ofModels maps the errors of changing what is served, and of what a model cannot do; nil if err is none of them.
func ofModels(err error) *status.Status {
	if e, ok := errors.AsType[*AdminOnlyError](err); ok {
		return with(codes.PermissionDenied, e.Error(), errorInfo(reasonAdminOnly, nil))
	}
	if e, ok := errors.AsType[*inference.NameTakenError](err); ok {
		return with(codes.AlreadyExists, e.Error(), &errdetails.ResourceInfo{
			ResourceType: ModelResource, ResourceName: e.Model, Description: "has the name",
		})
	}
	if e, ok := errors.AsType[*inference.BusyError](err); ok {
		return with(codes.Aborted, e.Error(), errorInfo(reasonModelBusy, map[string]string{"model": e.Model}))
	}
	if e, ok := errors.AsType[*inference.DefaultModelError](err); ok {
		return with(codes.FailedPrecondition, e.Error(), errorInfo(reasonDefaultModel, map[string]string{"model": e.Model}))
	}
	if e, ok := errors.AsType[*inference.NoEmbeddingsError](err); ok {
		return with(codes.FailedPrecondition, e.Error(), errorInfo(reasonNoEmbeddings, map[string]string{"model": e.Model}))
	}
	if e, ok := errors.AsType[*inference.LoadError](err); ok {
		return ofLoad(e)
	}
	return nil
}

// ofLoad maps what is wrong with a model that was to be loaded. Its text is for the operator, as only one gets here.
func ofLoad(e *inference.LoadError) *status.Status {
	switch e.Reason {
	case inference.LoadNoStore:
		return with(codes.FailedPrecondition, e.Error(), errorInfo(reasonNoModelStore, nil))
	case inference.LoadMissing:
		return with(codes.NotFound, e.Error(), &errdetails.ResourceInfo{
			ResourceType: folderResource, ResourceName: clip(e.Folder, maxName), Description: "the model store has no such folder",
		})
	case inference.LoadBroken:
		return with(codes.FailedPrecondition, e.Error(), errorInfo(reasonBrokenModel, nil))
	case inference.LoadMemory:
		return with(codes.ResourceExhausted, e.Error(), errorInfo(reasonMemory, nil))
	}
	return nil
}
