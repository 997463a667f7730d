# Fails when clang-format would change a source file. ROOT is the project's folder.
file(GLOB_RECURSE sources ${ROOT}/include/*.h ${ROOT}/host/*.[ch] ${ROOT}/host/*.cc
     ${ROOT}/kernels/*.[ch] ${ROOT}/kernels/*.cu ${ROOT}/tests/*.h ${ROOT}/tests/*.cc)
execute_process(COMMAND ${CLANG_FORMAT} --dry-run --Werror ${sources} RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "run clang-format -i on the files named above")
endif()
