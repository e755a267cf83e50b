//! What goes with every call besides its request.

use std::fmt;
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// What stubs call through: the client's connection, with its key and metadata. [`Client::transport`](crate::Client::transport)
/// gives it.
pub type Transport = InterceptedService<Channel, CallMetadata>;

/// Adds the client's key and metadata to each call, as tonic's interceptor.
#[derive(Clone, Default)]
pub struct CallMetadata {
    pub(crate) authorization: Option<MetadataValue<Ascii>>,
    pub(crate) more: Vec<MetadataFn>,
}

/// Adds metadata to a call that is about to be made.
pub(crate) type MetadataFn = Arc<dyn Fn(&mut MetadataMap) + Send + Sync>;

impl Interceptor for CallMetadata {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        for add in &self.more {
            add(metadata);
        }
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

impl fmt::Debug for CallMetadata {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallMetadata").finish_non_exhaustive()
    }
}

/// Adds OpenTelemetry's current context, by the propagator that the application has set, unless the call has one of its own.
#[cfg(feature = "opentelemetry")]
pub(crate) fn opentelemetry(metadata: &mut MetadataMap) {
    use tonic::metadata::MetadataKey;

    if metadata.contains_key("traceparent") {
        return;
    }

    struct Injector<'a>(&'a mut MetadataMap);

    impl opentelemetry::propagation::Injector for Injector<'_> {
        fn set(&mut self, key: &str, value: String) {
            // Propagators give names and values that headers may have; others are not to fail the call.
            if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
                self.0.insert::<MetadataKey<Ascii>>(key, value);
            }
        }
    }

    opentelemetry::global::get_text_map_propagator(|propagator| propagator.inject(&mut Injector(metadata)));
}
