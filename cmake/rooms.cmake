# One object library a room. Every .c file of a room's folder belongs to it;
# what a room may include is held by tools/layers.txt, not by link order.
find_package(PkgConfig REQUIRED)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.38)
pkg_check_modules(PQ REQUIRED IMPORTED_TARGET libpq>=14)
pkg_check_modules(MHD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(VIPS REQUIRED IMPORTED_TARGET vips>=8.14)
find_package(Threads REQUIRED)

add_library(fa_flags INTERFACE)
target_include_directories(fa_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(fa_flags INTERFACE _GNU_SOURCE FA_VERSION="${PROJECT_VERSION}")
target_compile_options(fa_flags INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
        -Wpointer-arith -Wformat=2 -Wno-missing-field-initializers -fno-omit-frame-pointer -fstack-protector-strong
        -ffunction-sections -fdata-sections)
target_link_options(fa_flags INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now)
target_link_libraries(fa_flags INTERFACE Threads::Threads m ${CMAKE_DL_LIBS})
if(FA_WERROR)
        target_compile_options(fa_flags INTERFACE -Werror)
endif()
if(FA_SANITIZE)
        target_compile_options(fa_flags INTERFACE -fsanitize=${FA_SANITIZE} -fno-sanitize-recover=all)
        target_link_options(fa_flags INTERFACE -fsanitize=${FA_SANITIZE})
        if(FA_SANITIZE MATCHES address)
                target_compile_definitions(fa_flags INTERFACE FA_ASAN=1)
        endif()
endif()

# fa_room(<name> [<vendor targets>...])
function(fa_room name)
        string(REPLACE "/" "_" target room_${name})
        file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
        if(sources)
                add_library(${target} OBJECT ${sources})
                target_link_libraries(${target} PRIVATE fa_flags ${ARGN})
                set_property(GLOBAL APPEND PROPERTY FA_ROOMS ${target})
        endif()
endfunction()

fa_room(base PkgConfig::CRYPTO)
fa_room(log)
fa_room(metrics)
fa_room(json PkgConfig::JANSSON)
fa_room(config)
fa_room(model)
fa_room(sniff)
fa_room(cluster)
fa_room(vector)
fa_room(http PkgConfig::MHD)
fa_room(httpc PkgConfig::CURL)
fa_room(queue)
fa_room(catalog PkgConfig::SQLITE PkgConfig::PQ)
fa_room(worker)
fa_room(storage)
fa_room(jail)
fa_room(embed)
if(TARGET room_embed) # tools/fetch-onnxruntime puts the header there
        target_include_directories(room_embed PRIVATE ${PROJECT_SOURCE_DIR}/.cache/onnxruntime/include)
endif()
fa_room(search)
fa_room(organise)
fa_room(ingest)
fa_room(admin)
fa_room(api)
fa_room(app)

# The catalog's migrations become strings in the program.
foreach(engine sqlite postgres)
        file(GLOB migrations CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/migrations/${engine}/*.sql)
        set(migrations_c ${CMAKE_BINARY_DIR}/generated/migrations_${engine}.c)
        add_custom_command(OUTPUT ${migrations_c}
                COMMAND ${CMAKE_COMMAND} -D FOLDER=${PROJECT_SOURCE_DIR}/migrations/${engine} -D OUT=${migrations_c}
                        -D SYMBOL=catalog_migrations_${engine} -P ${PROJECT_SOURCE_DIR}/cmake/embed_sql.cmake
                DEPENDS ${migrations} ${PROJECT_SOURCE_DIR}/cmake/embed_sql.cmake)
        target_sources(room_catalog PRIVATE ${migrations_c})
endforeach()

# So do the schemas of the OpenAPI document.
set(schemas_c ${CMAKE_BINARY_DIR}/generated/api_schemas.c)
add_custom_command(OUTPUT ${schemas_c}
        COMMAND ${CMAKE_COMMAND} -D FILE=${PROJECT_SOURCE_DIR}/src/api/schemas.json -D OUT=${schemas_c}
                -D SYMBOL=api_schemas -P ${PROJECT_SOURCE_DIR}/cmake/embed_text.cmake
        DEPENDS ${PROJECT_SOURCE_DIR}/src/api/schemas.json ${PROJECT_SOURCE_DIR}/cmake/embed_text.cmake)
target_sources(room_api PRIVATE ${schemas_c})

get_property(rooms GLOBAL PROPERTY FA_ROOMS)
add_library(fa_core STATIC)
foreach(room ${rooms})
        target_sources(fa_core PRIVATE $<TARGET_OBJECTS:${room}>)
endforeach()
target_link_libraries(fa_core PUBLIC fa_flags PkgConfig::CRYPTO PkgConfig::JANSSON PkgConfig::SQLITE PkgConfig::PQ PkgConfig::MHD PkgConfig::CURL)
set_target_properties(fa_core PROPERTIES LINKER_LANGUAGE C)

# The SIMD kernels of vector/ carry their own instruction sets and are chosen at run time.
foreach(pair "avx2|-mavx2 -mfma" "avx512|-mavx512f -mavx512bw -mavx512vl -mavx512vnni")
        string(REPLACE "|" ";" pair "${pair}")
        list(GET pair 0 isa)
        list(GET pair 1 flags)
        set(file ${PROJECT_SOURCE_DIR}/src/vector/vector_${isa}.c)
        if(EXISTS ${file} AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
                set_source_files_properties(${file} PROPERTIES COMPILE_FLAGS "${flags}")
        endif()
endforeach()

# The decoder: the only thing that links libvips.
file(GLOB decode_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/decode/*.c ${PROJECT_SOURCE_DIR}/src/decode/*/*.c)
if(decode_sources)
        set(decode_lib ${decode_sources})
        list(FILTER decode_lib EXCLUDE REGEX "decode/main\\.c$")
        add_library(fa_decode STATIC ${decode_lib})
        target_link_libraries(fa_decode PUBLIC fa_core PkgConfig::VIPS)
        add_executable(file-allocator-decode ${PROJECT_SOURCE_DIR}/src/decode/main.c)
        target_link_libraries(file-allocator-decode PRIVATE fa_decode)
endif()

file(GLOB cli_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cli/*.c)
if(cli_sources)
        add_executable(file-allocator ${cli_sources})
        target_link_libraries(file-allocator PRIVATE fa_core)
        install(TARGETS file-allocator file-allocator-decode RUNTIME DESTINATION bin)
endif()

# What the program finds beside itself: <prefix>/bin/../share/file-allocator and ../lib/file-allocator.
set(FA_SHARE ${CMAKE_BINARY_DIR}/share/file-allocator)
file(MAKE_DIRECTORY ${FA_SHARE} ${CMAKE_BINARY_DIR}/lib)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/models ${FA_SHARE}/models SYMBOLIC)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/.cache/swagger-ui ${FA_SHARE}/swagger-ui SYMBOLIC)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/.cache/onnxruntime/lib ${CMAKE_BINARY_DIR}/lib/file-allocator SYMBOLIC)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/models DESTINATION share/file-allocator)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/.cache/swagger-ui DESTINATION share/file-allocator OPTIONAL)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/.cache/onnxruntime/lib/ DESTINATION lib/file-allocator OPTIONAL)
