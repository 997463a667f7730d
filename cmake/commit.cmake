# Writes HEADER with the commit of SOURCE, unless it says so already: `cmake -DSOURCE=… -DHEADER=… -P`.
# Outside a repository of its own the sources have none.
find_package(Git QUIET)
set(commit unknown)
if(GIT_FOUND AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --abbrev=12 --exclude=*
                  WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE described RESULT_VARIABLE failed
                  ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed)
    set(commit ${described})
  endif()
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define QN_COMMIT \"${commit}\"\n" @ONLY)
