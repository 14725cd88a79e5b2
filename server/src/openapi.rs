//! The OpenAPI document: every route with its fields, its answers and its errors, from the tables that requests are read by.

use serde_json::{Value, json};
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType,
    Type,
};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, ContentBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder,
    PathItem, PathsBuilder, Ref, RefOr, Required, ResponseBuilder,
};

use crate::fields::{Field, Kind};
use crate::options::ServerOptions;
use crate::route_table::{Answer, Body, ROUTES, Route};

/// The name of the key among security schemes.
const KEY: &str = "key";

/// The document of a server that runs so.
pub(crate) fn document(options: &ServerOptions) -> OpenApi {
    let routes = ROUTES.iter().filter(|route| options.a1111 || !route.is_a1111());
    let mut paths = PathsBuilder::new();
    for route in routes {
        let method = match route.method {
            "get" => HttpMethod::Get,
            "delete" => HttpMethod::Delete,
            _ => HttpMethod::Post,
        };
        paths = paths.path(route.path, PathItem::new(method, operation(route, options)));
    }
    let components = ComponentsBuilder::new()
        .schema("Error", schema(error_schema()))
        .schema("ImagesResponse", schema(images_schema()))
        .schema("Job", schema(job_schema()))
        .security_scheme(KEY, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("unclip")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Images from captions and images by unCLIP: OpenAI's Images API, and what only this has.")),
        )
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

fn operation(route: &Route, options: &ServerOptions) -> Operation {
    let mut operation = OperationBuilder::new()
        .summary(Some(route.summary))
        .operation_id(Some(route.id()))
        .request_body(request_body(&route.body, options));
    for name in route.parameters() {
        operation = operation.parameter(path_parameter(name));
    }
    if options.api_key.is_some() && route.needs_key() {
        operation = operation.security(SecurityRequirement::new(KEY, [""; 0]));
    }
    let status = if route.answer == Answer::Accepted { "202" } else { "200" };
    operation = operation.response(status, success(route));
    for status in route.errors() {
        let content = Content::new(Some(Ref::from_schema_name("Error")));
        let response =
            ResponseBuilder::new().description(reason(status)).content("application/json", content);
        operation = operation.response(status.to_string(), response.build());
    }
    operation.build()
}

fn path_parameter(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn success(route: &Route) -> utoipa::openapi::Response {
    let response = ResponseBuilder::new().description("What was asked for.");
    let of = |name: &str| Content::new(Some(Ref::from_schema_name(name)));
    // An object or a list, whose members the documentation has.
    let any = || Content::new(Some(ObjectBuilder::new().schema_type(SchemaType::AnyValue)));
    let text = || Content::new(Some(ObjectBuilder::new().schema_type(Type::String)));
    match route.answer {
        Answer::Images => {
            let response = response.content("application/json", of("ImagesResponse"));
            match route.streams() {
                true => response.content("text/event-stream", any()),
                false => response,
            }
        }
        Answer::Accepted | Answer::Job => response.content("application/json", of("Job")),
        Answer::Json => response.content("application/json", any()),
        Answer::Events => response.content("text/event-stream", any()),
        Answer::Bytes => ["image/png", "image/jpeg", "image/webp"]
            .into_iter()
            .fold(response, |response, media_type| response.content(media_type, text())),
        Answer::Text(media_type) => response.content(media_type, text()),
    }
    .build()
}

/// The words for a status.
fn reason(status: u16) -> &'static str {
    match status {
        400 => "A field cannot be drawn with: `param` names it.",
        401 => "The key is missing or another one.",
        403 => "Another host was named, or a page of another origin asked.",
        404 => "There is none.",
        408 => "The body came too slowly.",
        410 => "It is not kept any more.",
        413 => "The body is too long.",
        415 => "The body is of another type.",
        429 => "The queue is full: `Retry-After` says when it may go better.",
        499 => "The request was cancelled.",
        500 => "A defect, or a model that cannot do this.",
        503 => "The model is being loaded, or the server is about to stop.",
        504 => "The request took too long.",
        507 => "There is not enough memory.",
        _ => "An error.",
    }
}

fn request_body(body: &Body, options: &ServerOptions) -> Option<RequestBody> {
    let Body::Fields { tables, is_multipart, task } = body else {
        return match body {
            Body::Json => {
                let content = Content::new(Some(ObjectBuilder::new()));
                Some(
                    RequestBodyBuilder::new()
                        .content("application/json", content)
                        .required(Some(Required::True))
                        .build(),
                )
            }
            _ => None,
        };
    };
    let object = fields_schema(tables, options, *task);
    let content = |object: &Object| {
        ContentBuilder::new().schema(Some(Schema::Object(object.clone()))).build()
    };
    let mut body = RequestBodyBuilder::new().required(Some(Required::True));
    if !*is_multipart {
        body = body.content("application/json", content(&object));
    }
    Some(body.content("multipart/form-data", content(&object)).build())
}

/// The object of a table's fields. Other fields are ignored, or by a strict server refused.
fn fields_schema(tables: &[&[Field]], options: &ServerOptions, task: bool) -> Object {
    let mut object = ObjectBuilder::new();
    if task {
        let names = crate::draw_task::DrawTask::ALL.map(crate::draw_task::DrawTask::name);
        let task = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
        object = object.property(
            crate::jobs::TASK,
            task.description(Some("What is drawn: the other fields are those of its route.")),
        );
        object = object.required(crate::jobs::TASK);
    }
    for field in tables.iter().copied().flatten() {
        object = object.property(field.name, field_schema(field, options));
        if field.required && !task {
            object = object.required(field.name);
        }
    }
    if options.strict {
        object =
            object.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    }
    object.build()
}

fn field_schema(field: &Field, options: &ServerOptions) -> RefOr<Schema> {
    let about = Some(field.about);
    let of = |kind| ObjectBuilder::new().schema_type(kind).description(about);
    let object = match field.kind {
        Kind::Text(longest) => of(Type::String).max_length(Some(longest)),
        Kind::Integer(least, most) => {
            let most = match field.name {
                "n" if most == i64::MAX => options.most_images as i64,
                "frames" => options.most_frames as i64,
                _ => most,
            };
            of(Type::Integer).minimum(Some(least)).maximum(Some(most))
        }
        Kind::Number(least, most) => of(Type::Number).minimum(Some(least)).maximum(Some(most)),
        Kind::Switch => of(Type::Boolean),
        Kind::Choice(choices) => of(Type::String).enum_values(Some(choices.iter().copied())),
        Kind::Size(_) => of(Type::String).pattern(Some("^(auto|[1-9][0-9]{0,3}x[1-9][0-9]{0,3})$")),
        Kind::Image => of(Type::String).content_media_type("application/octet-stream"),
        Kind::Ignored => {
            return RefOr::T(Schema::Object(
                ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(about).build(),
            ));
        }
        Kind::Texts => {
            return RefOr::T(
                ArrayBuilder::new().items(of(Type::String)).description(about).build().into(),
            );
        }
        Kind::TextOrTexts(longest) => {
            let text = || ObjectBuilder::new().schema_type(Type::String).max_length(Some(longest));
            let several = ArrayBuilder::new().items(text()).min_items(Some(1)).max_items(Some(256));
            return RefOr::T(
                OneOfBuilder::new().item(text()).item(several).description(about).build().into(),
            );
        }
    };
    RefOr::T(object.build().into())
}

fn schema(json: Value) -> Schema {
    serde_json::from_value(json).expect("the schemas here are schemas")
}

fn error_schema() -> Value {
    let text = json!({ "type": ["string", "null"] });
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": { "message": { "type": "string" }, "type": { "type": "string" }, "param": text, "code": text },
        } },
    })
}

fn images_schema() -> Value {
    json!({
        "type": "object",
        "required": ["created", "data"],
        "properties": {
            "created": { "type": "integer" },
            "data": { "type": "array", "items": {
                "type": "object",
                "required": ["seed"],
                "properties": {
                    "b64_json": { "type": "string" },
                    "url": { "type": "string" },
                    "seed": { "type": "integer" },
                    "t": { "type": "number" },
                },
            } },
            "output_format": { "type": "string" },
            "size": { "type": "string" },
        },
    })
}

fn job_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "object", "task", "status", "position", "created_at", "progress", "result", "error"],
        "properties": {
            "id": { "type": "string" },
            "object": { "type": "string" },
            "task": { "type": "string" },
            "status": { "type": "string", "enum": ["queued", "running", "completed", "failed", "cancelled"] },
            "position": { "type": ["integer", "null"] },
            "created_at": { "type": "integer" },
            "progress": {
                "type": ["object", "null"],
                "properties": {
                    "stage": { "type": "string" },
                    "stage_index": { "type": "integer" },
                    "done": { "type": "integer" },
                    "steps": { "type": "integer" },
                    "image": { "type": "integer" },
                    "images": { "type": "integer" },
                    "images_done": { "type": "integer" },
                },
            },
            "result": { "type": ["object", "null"] },
            "error": { "type": ["object", "null"] },
        },
    })
}
