package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluiceml/sluice/cmd/sluice/internal/memory"
	"github.com/sluiceml/sluice/cmd/sluice/internal/models"
	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/server"
)

// storeLoader loads models from --model-store. It implements server.Loader.
type storeLoader struct{ app *App }

// Load loads a folder of the store.
func (l *storeLoader) Load(ctx context.Context, r server.LoadRequest) (inference.Entry, error) {
	a := l.app
	entry, err := a.manager.Load(ctx, inference.LoadRequest{
		Name: r.Name, Folder: r.Folder, Aliases: r.Aliases, Replace: r.Replace,
		Open: func(ctx context.Context, replaces *inference.Model) (inference.Opened, error) {
			folder, err := openStored(a.flags.ModelStore, r.Folder)
			if err != nil {
				return inference.Opened{}, err
			}
			if err := models.Fits(folder, memory.Available(os.DirFS("/"))); err != nil {
				return inference.Opened{}, &inference.LoadError{Folder: r.Folder, Reason: inference.LoadMemory, Err: err}
			}
			opened, err := a.opener(models.Folder{Name: r.Name, Folder: folder})(ctx, replaces)
			unavailable := new(inference.UnavailableError)
			if err != nil && ctx.Err() == nil && !errors.As(err, &unavailable) {
				return opened, &inference.LoadError{Folder: r.Folder, Reason: inference.LoadBroken, Err: err}
			}
			return opened, err
		},
	})
	if err != nil {
		a.log.WarnContext(ctx, "a model was not loaded", "model", r.Name, "folder", r.Folder, "error", err.Error())
		return entry, err //nolint:wrapcheck // the service says what failed
	}
	a.limit(entry.Model)
	a.telemetry.AddModel(r.Name, entry.Model.Stats)
	a.server.UpdateHealth()
	a.log.InfoContext(ctx, "a model serves", "model", r.Name, "folder", r.Folder, "aliases", entry.Aliases)
	return entry, nil
}

// Unload takes a model out of service.
func (l *storeLoader) Unload(ctx context.Context, name string) error {
	l.app.log.InfoContext(ctx, "unloading a model", "model", name)
	return l.app.manager.Unload(ctx, name) //nolint:wrapcheck // the service says what failed
}

// openStored opens a folder of the store by its name. Nothing in it may lie outside the store, whatever links say: links
// within the store are followed, but they must be relative. Who can write into the store while this looks could get
// around that, and needs not: he can put the files there.
func openStored(store, name string) (*model.Folder, error) {
	failed := func(reason inference.LoadReason, err error) error {
		return &inference.LoadError{Folder: name, Reason: reason, Err: err}
	}
	if store == "" {
		return nil, failed(inference.LoadNoStore, errors.New("the server was started without --model-store"))
	}
	root, err := os.OpenRoot(store)
	if err != nil {
		return nil, failed(inference.LoadNoStore, fmt.Errorf("--model-store: %w", err))
	}
	defer root.Close() //nolint:errcheck // read only
	info, err := root.Stat(name)
	if err != nil {
		err = leadingOut(store, name, err)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir():
		return nil, failed(inference.LoadMissing, errors.New("the model store has no such folder"))
	case err != nil:
		return nil, failed(inference.LoadBroken, err)
	}
	inside, err := root.OpenRoot(name)
	if err != nil {
		return nil, failed(inference.LoadBroken, err)
	}
	defer inside.Close() //nolint:errcheck // read only
	entries, err := fs.ReadDir(inside.FS(), ".")
	if err != nil {
		return nil, failed(inference.LoadBroken, err)
	}
	for _, entry := range entries {
		path := name + "/" + entry.Name()
		if _, err := root.Stat(path); err != nil {
			return nil, failed(inference.LoadBroken, leadingOut(store, path, err))
		}
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(store, name)) // a link that changes now changes nothing here
	if err != nil {
		return nil, failed(inference.LoadBroken, err)
	}
	folder, err := model.Open(dir)
	if err != nil {
		return nil, failed(inference.LoadBroken, err)
	}
	return folder, nil
}

// leadingOut is err, which os.Root gave for a path of the store, said in the operator's words where the path is a link to
// what exists but may not be followed.
func leadingOut(store, path string, err error) error {
	if _, outside := os.Stat(filepath.Join(store, path)); outside != nil {
		return err
	}
	return fmt.Errorf("%s is a link that leads out of the model store, or an absolute one: put the files there, or link relatively within it", path)
}
