//! Requests and responses as frames (without their length prefix).
//!
//! Promises: no frame, however made, makes these functions panic or allocate much more than the frame is long. A request
//! whose header cannot be read has no answer: close the connection.

pub mod assembly;

use crate::api::{self, key};
use crate::codec::{Malformed, Put, Reader};
use crate::shape;
pub use crate::shape::Guarded;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Encodable, StrBytes};

/// Why a frame could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("malformed header: {0}")]
    Header(Malformed),
    #[error("API key {0} is not one of Kafka's")]
    UnknownApi(i16),
    #[error("malformed body: {0}")]
    Body(String),
    #[error("the message cannot be written: {0}")]
    Encode(String),
}

/// What every request begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    pub api_key: i16,
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
}

/// Reads a request's header and leaves the body in `frame`. The API and version may be ones that we do not serve: that
/// has an answer of its own (see [`api::is_served`]).
pub fn read_request_head(frame: &mut Bytes) -> Result<RequestHead, FrameError> {
    let mut reader = Reader::new(frame);
    let (head, client_id) = read_head(&mut reader).map_err(FrameError::Header)?;
    // Offsets instead of the text, so that the client id is a slice of the frame and not a copy.
    let read = frame.len() - reader.remaining();
    let client_id = match client_id {
        None => None,
        Some(range) => Some(
            StrBytes::from_utf8(frame.slice(range))
                .map_err(|_| FrameError::Header(Malformed("the client id is not UTF-8")))?,
        ),
    };
    frame.advance(read);
    Ok(RequestHead { client_id, ..head })
}

type ClientIdRange = Option<std::ops::Range<usize>>;

fn read_head(reader: &mut Reader<'_>) -> Result<(RequestHead, ClientIdRange), Malformed> {
    let start = reader.remaining();
    let api_key = reader.i16()?;
    let api_version = reader.i16()?;
    let correlation_id = reader.i32()?;
    let head = RequestHead { api_key, api_version, correlation_id, client_id: None };
    // An API that Kafka does not have has no header version; the first is the most that can be made of it.
    let flexible = request_header_version(api_key, api_version) >= 2;
    // The client id keeps its old form in all header versions.
    let client_id = match reader.string_length(false)? {
        None => None,
        Some(length) => {
            reader.take(length)?;
            let end = start - reader.remaining();
            Some(end - length..end)
        }
    };
    if flexible {
        reader.skip_tagged_fields()?;
    }
    Ok((head, client_id))
}

fn request_header_version(api_key: i16, api_version: i16) -> i16 {
    ApiKey::try_from(api_key).map_or(1, |api| api.request_header_version(api_version))
}

fn response_header_version(api_key: i16, api_version: i16) -> Result<i16, FrameError> {
    if api_key == key::API_VERSIONS {
        return Ok(0); // always, so that a client that guessed the version wrong can read the answer
    }
    ApiKey::try_from(api_key)
        .map(|api| api.response_header_version(api_version))
        .map_err(|_| FrameError::UnknownApi(api_key))
}

/// A response's header for the API and version that were asked in.
pub fn response_header(head: &RequestHead) -> Result<Bytes, FrameError> {
    let version = response_header_version(head.api_key, head.api_version)?;
    let mut bytes = Vec::with_capacity(5);
    bytes.put_i32(head.correlation_id);
    if version >= 1 {
        bytes.put_tagged_fields(&[]);
    }
    Ok(Bytes::from(bytes))
}

/// A whole response in the version that was asked for.
pub fn encode_response(head: &RequestHead, body: &impl Encodable) -> Result<Bytes, FrameError> {
    encode_response_as(head, head.api_version, body)
}

/// A whole response whose body is of another version than the one asked for: ApiVersions answers an unsupported version
/// in version 0.
pub fn encode_response_as(
    head: &RequestHead,
    body_version: i16,
    body: &impl Encodable,
) -> Result<Bytes, FrameError> {
    let header = response_header(head)?;
    let mut bytes = BytesMut::with_capacity(256);
    bytes.put_raw(&header);
    encode_body(&mut bytes, body, body_version, head.api_key)?;
    Ok(bytes.freeze())
}

/// A response whose body was written as parts (see [`crate::fetch`]): the header goes before them.
pub fn encode_response_parts(
    head: &RequestHead,
    mut body: Vec<Bytes>,
) -> Result<Vec<Bytes>, FrameError> {
    body.insert(0, response_header(head)?);
    Ok(body)
}

/// A whole request.
pub fn encode_request(
    api_key: i16,
    api_version: i16,
    correlation_id: i32,
    client_id: &str,
    body: &impl Encodable,
) -> Result<Bytes, FrameError> {
    let mut bytes = BytesMut::with_capacity(256);
    bytes.put_i16(api_key);
    bytes.put_i16(api_version);
    bytes.put_i32(correlation_id);
    bytes.put_string(false, client_id);
    let header_version = ApiKey::try_from(api_key)
        .map_err(|_| FrameError::UnknownApi(api_key))?
        .request_header_version(api_version);
    if header_version >= 2 {
        bytes.put_tagged_fields(&[]);
    }
    encode_body(&mut bytes, body, api_version, api_key)?;
    Ok(bytes.freeze())
}

fn encode_body(
    bytes: &mut BytesMut,
    body: &impl Encodable,
    version: i16,
    api_key: i16,
) -> Result<(), FrameError> {
    body.encode(bytes, version).map_err(|error| {
        FrameError::Encode(format!("{} version {version}: {error}", api::api_name(api_key)))
    })
}

/// Reads a response's header, leaves the body in `frame`, and returns the correlation id.
pub fn read_response_head(
    frame: &mut Bytes,
    api_key: i16,
    api_version: i16,
) -> Result<i32, FrameError> {
    let version = response_header_version(api_key, api_version)?;
    let mut reader = Reader::new(frame);
    let mut read = || {
        let correlation_id = reader.i32()?;
        if version >= 1 {
            reader.skip_tagged_fields()?;
        }
        Ok(correlation_id)
    };
    let correlation_id = read().map_err(FrameError::Header)?;
    let consumed = frame.len() - reader.remaining();
    frame.advance(consumed);
    Ok(correlation_id)
}

/// Reads a whole message body. Bytes that are left over are an error, and every length was checked before anything was
/// allocated for it.
pub fn decode<T: Guarded>(body: &mut Bytes, version: i16) -> Result<T, FrameError> {
    let message = decode_request(body, version)?;
    if body.is_empty() {
        return Ok(message);
    }
    Err(FrameError::Body(format!("{} bytes after the message", body.len())))
}

/// Reads a request's body as [`decode`] does, and leaves what comes after it in `body`. Kafka does not mind such bytes, and
/// librdkafka relies on it: its request for the metadata of all topics (`kcat -L`) has three too many.
pub fn decode_request<T: Guarded>(body: &mut Bytes, version: i16) -> Result<T, FrameError> {
    let body_error = |error: &dyn std::fmt::Display| FrameError::Body(error.to_string());
    let after = shape::check(T::SHAPE, version, body).map_err(|error| body_error(&error))?;
    let message = T::decode(body, version).map_err(|error| body_error(&error))?;
    if body.len() == after {
        return Ok(message);
    }
    Err(FrameError::Body(format!("{} bytes were left of {after}", body.len())))
}

#[cfg(test)]
mod tests;
